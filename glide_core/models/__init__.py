"""The networks: their sizes, the tokenizer, the text transformer and the U-Net."""
