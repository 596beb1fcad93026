"""Pictures to numbers and numbers to answers: numpy, Pillow and OpenCV, never torch.

image       read, find and encode pictures            preprocess  frame -> net pixels -> normalised tensor
decode      outputs -> results                       results     Classification, Detections: one class a task
draw        a result drawn onto its picture          boxes       arithmetic on boxes

Nothing is imported here, so that reading a picture does not load OpenCV.
"""
