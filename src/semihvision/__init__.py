"""SemiHVision: raw medical images to a trusted vision-language model."""
