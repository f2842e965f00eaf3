"""Medical image formats: DICOM and NIfTI files to 8-bit pixels in the radiological convention."""

MAX_PIXELS = 89_478_485
"""Of one image, slice or frame; larger claimed sizes are refused before decoding (a decompression
bomb, or a wrong file). It is Pillow's own limit: a quarter of a gigabyte as RGB, a side of 20,000
if the other is below 4,474."""
