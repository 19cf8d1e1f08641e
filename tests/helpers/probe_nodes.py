"""Nodes that tests add to ComfyUI: a standard CLIP_VISION that is small, and what is in memory."""

import gc
import json
import tempfile

import comfy.clip_vision

SMALL = {"hidden_size": 32, "intermediate_size": 64, "num_attention_heads": 2, "num_hidden_layers": 2}
REST = {
    "model_type": "clip_vision_model",
    "hidden_act": "quick_gelu",
    "image_size": 28,
    "patch_size": 14,
    "num_channels": 3,
    "layer_norm_eps": 1e-5,
}


class SmallClipVision:
    """The host's own class with random weights, whose embeddings have so many numbers."""

    RETURN_TYPES, FUNCTION, CATEGORY = ("CLIP_VISION",), "make", "test"

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"width": ("INT", {"default": 16})}}

    def make(self, width):
        with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
            json.dump({**SMALL, **REST, "projection_dim": width}, file)
            file.flush()
            vision = comfy.clip_vision.ClipVisionModel(file.name)
        for p in vision.model.parameters():
            p.data.normal_(std=0.1)
        return (vision,)


class ObjectsInMemory:
    """How many objects of a class there are, once an image is there."""

    RETURN_TYPES, FUNCTION, CATEGORY = ("STRING",), "count", "test"

    @classmethod
    def INPUT_TYPES(cls):
        required = {"name": ("STRING", {"default": ""}), "time": ("INT", {"default": 0})}
        return {"required": required, "optional": {"image": ("IMAGE",)}}

    def count(self, name, time, image=None):
        gc.collect()
        return (str(sum(type(each).__name__ == name for each in gc.get_objects())),)


NODE_CLASS_MAPPINGS = {"SmallClipVision": SmallClipVision, "ObjectsInMemory": ObjectsInMemory}
