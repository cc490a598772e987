"""Everything that touches napari or Qt: reader, writers, samples and widgets."""
