"""The area under the curve of precision over recall: as COCO and Pascal VOC have it, and how sure it is."""
