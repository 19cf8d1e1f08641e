"""Stock nodes that would do nothing to a GLIDE model, and why.

The patches of most nodes are seen where they arrive (``patches``, ``schedule``). These leave nothing there that GLIDE
could see, so that they are told from the graph instead. The module imports nothing, because tests read it as well.
"""

from __future__ import annotations

_VIDEO = "it is made for video models"
_OTHER_BLOCKS = (
    "it names the blocks of another model family (ModelMergeSimple, ModelMergeBlocks and ModelMergeSD1 merge GLIDE's "
    "models)"
)
_SKIP_LAYERS = "it skips layers of diffusion transformers, and GLIDE's model is a U-Net"
_ATTENTION = "it multiplies weights for query, key and value, which GLIDE's U-Net keeps in one"
_MODEL_PATCH = "it adds a patch that was trained for another model family"

REFUSED = {
    "ARVideoI2V": _VIDEO,
    "LTXVContextWindows": _VIDEO,
    "LTXVReferenceAudio": _VIDEO,
    "WanContextWindowsManual": _VIDEO,
    "WanInfiniteTalkToVideo": _VIDEO,
    "ChromaRadianceOptions": "it sets options of the Chroma Radiance model",
    "ScaleROPE": "it changes rotary positions, which GLIDE does not have",
    "SkipLayerGuidanceDiT": _SKIP_LAYERS,
    "SkipLayerGuidanceDiTSimple": _SKIP_LAYERS,
    "SkipLayerGuidanceSD3": _SKIP_LAYERS,
    "UNetSelfAttentionMultiply": _ATTENTION,
    "UNetCrossAttentionMultiply": _ATTENTION,
    "UNetTemporalAttentionMultiply": _ATTENTION,
    "AnimaLLLiteApply": _MODEL_PATCH,
    "QwenImageDiffsynthControlnet": _MODEL_PATCH,
    "SUPIRApply": _MODEL_PATCH,
    "USOStyleReference": _MODEL_PATCH,
    "WanUni3CControlnetApply": _MODEL_PATCH,
    "ZImageFunControlnet": _MODEL_PATCH,
    "ModelMergeAuraflow": _OTHER_BLOCKS,
    "ModelMergeCosmos14B": _OTHER_BLOCKS,
    "ModelMergeCosmos7B": _OTHER_BLOCKS,
    "ModelMergeCosmosPredict2_14B": _OTHER_BLOCKS,
    "ModelMergeCosmosPredict2_2B": _OTHER_BLOCKS,
    "ModelMergeFlux1": _OTHER_BLOCKS,
    "ModelMergeKrea2": _OTHER_BLOCKS,
    "ModelMergeLTXV": _OTHER_BLOCKS,
    "ModelMergeMochiPreview": _OTHER_BLOCKS,
    "ModelMergeQwenImage": _OTHER_BLOCKS,
    "ModelMergeSD35_Large": _OTHER_BLOCKS,
    "ModelMergeSD3_2B": _OTHER_BLOCKS,
    "ModelMergeWAN2_1": _OTHER_BLOCKS,
}
