import numpy as np

from napari_unet.data.fingerprint import fingerprint

SECTION = np.array([[0, 1, 2], [3, 4, 5]], np.uint8)


def test_values_and_shape_count_and_their_type_does_not():
    known = fingerprint(SECTION)
    assert fingerprint(SECTION[None].astype(">f4")) == known
    assert fingerprint(np.asfortranarray(SECTION)) == known
    assert fingerprint(SECTION.reshape(3, 2)) != known
    assert fingerprint(SECTION[:, ::-1]) != known
    assert len(known) == 16


def test_a_section_of_one_value_is_no_evidence():
    assert fingerprint(np.full((2, 3), 7)) == ""
