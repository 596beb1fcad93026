"""How well masks fit: pixels in one pass, IoU, boundaries, with intervals over pictures. numpy only."""
