"""A trained model as a Hugging Face folder that loads where this project is not installed.

`write_hf_folder` (`models.export.folder`) is the way in; `models.export.processor` is the one file
here that travels in such a folder.
"""
