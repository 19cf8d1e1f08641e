"""Errors that a user can mend. Every message says what is wrong and what to do."""


class GlideError(ValueError):
    """A mistake of the user's or a broken file, not a fault of this library.

    The command line prints the message of these errors alone; any other exception is a bug and shows its traceback.
    """


class OptionError(GlideError):
    """The value of an option or argument is outside its range, or two of them do not go together."""


class ImageError(GlideError):
    """A picture or mask is missing, unreadable or empty, or does not fit the other pictures."""


class CheckpointError(GlideError):
    """A checkpoint is missing, unreadable, or not the GLIDE model that is needed."""


class DatasetError(GlideError):
    """The pictures or captions to train on are missing or unreadable, or lack what this training needs."""


class TrainingError(GlideError):
    """A training diverged."""


class MissingPackageError(GlideError):
    """An optional package is needed but not installed."""


class DownloadError(GlideError):
    """A download failed, or what came is not what was asked for."""


class GlideWarning(UserWarning):
    """Something is not as the user may think it is, but the work goes on. The command line prints it as one line."""


class NotFiniteError(GlideError):
    """A model gave numbers that are NaN or infinite, which no picture can be made of."""


def counted(number: int, noun: str) -> str:
    """How many there are, for messages: "1 picture", "2 pictures"."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
