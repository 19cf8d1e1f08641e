"""The folder models/glide, and how a checkpoint of it becomes MODEL, CLIP and VAE."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import comfy.sd
import folder_paths
import torch

from ...glide_core.errors import CheckpointError
from ...glide_core.files import checkpoints
from ...glide_core.files.folders import published_filename
from ...glide_core.models.text2im import split_state_dict
from . import published
from .conditioning import encoder_tag
from .model import load_model
from .published import FOLDER
from .text import load_clip

EXTENSIONS = {".pt", ".pth", ".ckpt", ".safetensors"}
EMBEDDED = " (embedded)"


def register_folder() -> None:
    """Tell the host about models/glide; the folders of extra_model_paths.yaml are kept."""
    folder_paths.add_model_folder_path(FOLDER, str(Path(folder_paths.models_dir) / FOLDER), is_default=True)
    # add_model_folder_path registers a folder in which every file counts as a model.
    folder_paths.folder_names_and_paths[FOLDER] = (folder_paths.folder_names_and_paths[FOLDER][0], EXTENSIONS)


def checkpoint_names() -> list[str]:
    """The loader's choices: the embedded models, the files of models/glide, and the published models to download."""
    embedded = [stem + EMBEDDED for stem in _embedded()]
    return embedded + folder_paths.get_filename_list(FOLDER) + published.missing_labels()


def _embedded() -> dict[str, Path]:
    files = {path.stem: path for path in checkpoints.TINY_FOLDER.glob("*.safetensors")}
    return dict(sorted(files.items(), key=lambda item: published.reading_order(item[0])))


def checkpoint_path(name: str) -> Path:
    """The file of one of ``checkpoint_names``, also in the spellings of saved graphs from elsewhere.

    Windows writes "folder\\name", an embedded model may be called "tiny-base" or "tiny-base.safetensors", and a
    published one "base" or as it was called before it was downloaded.

    Raises:
        CheckpointError: there is no such model; the message says how to get it if it is a published one.
    """
    plain = name.replace("\\", "/")
    name_of_published = published.name_of(plain)
    wanted = {plain, published_filename(name_of_published)} if name_of_published else {plain}
    for file in folder_paths.get_filename_list(FOLDER):
        if file.replace("\\", "/") in wanted:
            return Path(folder_paths.get_full_path_or_raise(FOLDER, file))
    stem = plain.removesuffix(EMBEDDED).removesuffix(".safetensors")
    if stem in _embedded():
        return _embedded()[stem]
    if name_of_published:
        raise CheckpointError(
            f"{published_filename(name_of_published)} is not in models/glide: click Download on this node, or run "
            f"`glide fetch {name_of_published}` and put the file there"
        )
    raise CheckpointError(f"{name} is not in models/glide: choose one of {', '.join(checkpoint_names())}")


def glide_files() -> list[str]:
    """All files of models/glide."""
    return folder_paths.get_filename_list(FOLDER)


def glide_file(name: str) -> Path:
    """A file of models/glide. Raises CheckpointError: there is none of this name."""
    found = _file(name)
    if found is None:
        fetched = [f"clip-{part}-enc" for part in ("image", "text")]
        raise CheckpointError(
            f"{name} is not in models/glide: OpenAI's noised CLIP comes with `glide fetch {' '.join(fetched)}`; put "
            "the files there"
        )
    return found


def _file(name: str) -> Path | None:
    plain = name.replace("\\", "/")
    for file in glide_files():
        if file.replace("\\", "/") == plain:
            return Path(folder_paths.get_full_path_or_raise(FOLDER, file))
    return None


def load_checkpoint(name: str, dtype: torch.dtype | None):
    """One of ``checkpoint_names`` -> MODEL, CLIP, VAE. Raises CheckpointError."""
    path = checkpoint_path(name)
    model, clip = _load_networks(path, dtype)
    # Newer hosts load a model anew where weights of its own are needed: for another GPU, training, or torch.compile.
    model.cached_patcher_init = (_load_networks, (path, dtype), 0)
    clip.patcher.cached_patcher_init = (_load_clip_patcher, (path, dtype))
    return model, clip, comfy.sd.VAE(sd={"pixel_space_vae": torch.tensor(1.0)}, dtype=torch.float32)


def _load_networks(path: Path, dtype: torch.dtype | None, disable_dynamic: bool = False):
    """A checkpoint -> MODEL, CLIP. Without dynamic VRAM where ``disable_dynamic`` is set."""
    state_dict, config = checkpoints.read_model(path)
    tokenizer = checkpoints.tokenizer_for(config, path)
    unet_weights, text_weights = split_state_dict(state_dict)
    encoder = encoder_tag(text_weights)
    clip = load_clip(text_weights, config, tokenizer, encoder, dtype, disable_dynamic)
    model = load_model(unet_weights, config, encoder, dtype, disable_dynamic)
    model.model.text_transformer = partial(_text_transformer, path, encoder)
    return model, clip


def _text_transformer(path: Path, encoder: str) -> dict[str, torch.Tensor]:
    """The tensors of the text transformer in a checkpoint, which must still be the one that was loaded."""
    _, text_weights = split_state_dict(checkpoints.read_model(path)[0])
    if encoder_tag(text_weights) != encoder:
        raise CheckpointError(
            f"{path} is another file than the one that was loaded: load it again, or use CheckpointSave"
        )
    return text_weights


def _load_clip_patcher(path: Path, dtype: torch.dtype | None, disable_dynamic: bool = False):
    return _load_networks(path, dtype, disable_dynamic)[1].patcher
