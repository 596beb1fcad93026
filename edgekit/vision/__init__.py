"""Pictures to numbers and numbers to answers: numpy, Pillow and OpenCV, never torch.

image       read and encode pictures                 preprocess  frame -> net pixels -> normalised tensor
decode      outputs -> results                       results     Classification, Detections: one class a task
find        pictures in folders                      boxes       arithmetic on boxes
draw        a result drawn onto its picture          masks       the box around a segmentation
labels      several labels a picture                 vector      features of a picture

Nothing is imported here, so that reading a picture does not load OpenCV.
"""
