"""The plugin of the model ``nuclei-unet``: nuclei in fluorescence and H&E."""
