"""Everything that makes, measures and exports the model ``nuclei-unet``."""
