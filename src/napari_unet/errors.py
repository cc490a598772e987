"""What can go wrong, said so that a user can act on it.

Every message states what was found, what was expected and what to do next.
None of these derives from `RuntimeError`: generator-based workers swallow that one.
"""


class UNetError(Exception):
    """Base of every error this package raises on purpose."""


class StackFormatError(UNetError):
    """A file or array cannot be read, or not without guessing, as an image stack."""


class MaskError(UNetError):
    """A mask does not fit its image, or its values are not those of a mask."""


class ConfigError(UNetError):
    """An option has a value outside what it allows."""


class ModelError(UNetError):
    """A model file is missing or damaged, or the model does not fit the data."""


class TrainingError(UNetError):
    """A training cannot start, go on or be resumed."""


class OutputExistsError(UNetError):
    """A result would overwrite a file, and nobody said that it may."""


class OutOfMemoryError(UNetError):
    """Not even the smallest piece of the work fits into memory."""
