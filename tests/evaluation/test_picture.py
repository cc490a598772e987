import subprocess
import sys

import numpy as np
import pytest

from napari_unet.errors import MaskError, UNetError
from napari_unet.evaluation import comparison_picture, picture

GREY = np.tile(np.arange(60, dtype=np.uint16), (40, 1))
TRUTH = np.where(GREY < 30, 0, 255)


def read(path):
    from PIL import Image

    return np.asarray(Image.open(path).convert("RGB"))


def count(pixels, colour):
    rgb = [int(colour[i : i + 2], 16) for i in (1, 3, 5)]
    return np.count_nonzero((pixels == rgb).all(axis=-1))


def test_two_classes_show_two_kinds_of_error(tmp_path):
    prediction = TRUTH.copy()
    prediction[:5, :5] = 255
    path = comparison_picture(tmp_path / "a.png", GREY, TRUTH, prediction)
    pixels = read(path)
    assert pixels.shape[1] > 1500
    legend_only = count(pixels, picture.SKY)
    missed = count(pixels, picture.VERMILLION)
    # 25 pixels of a 60 pixels wide section, and the legend's patch.
    side = 3.3 * picture._dpi(60) / 60
    assert missed - legend_only == pytest.approx(25 * side**2, rel=0.05)


def test_title_and_curves_make_room(tmp_path):
    plain = comparison_picture(tmp_path / "a.png", GREY, TRUTH, TRUTH)
    full = comparison_picture(
        tmp_path / "b.png",
        GREY,
        TRUTH,
        TRUTH,
        title="Run $1_{",  # no formula
        names={0: "membrane", 255: "cell"},
        losses=[(step, 1 / step) for step in range(1, 200)],
        scores=[(50, 0.5), (100, 0.7)],
    )
    assert read(full).shape[0] > read(plain).shape[0] + 300
    assert count(read(full), picture.BLUE) > 1000
    assert count(read(plain), picture.BLUE) == 0


@pytest.mark.parametrize("n_classes", [1, 3, 8, 9, 40])
def test_any_number_of_classes(tmp_path, n_classes):
    truth = np.arange(40 * 60).reshape(40, 60) % n_classes
    prediction = np.roll(truth, 1, axis=0)
    path = comparison_picture(tmp_path / "a.png", GREY, truth, prediction)
    assert path.stat().st_size > 10_000


def test_not_annotated_is_shown_and_no_error(tmp_path):
    truth = TRUTH.copy()
    truth[:20] = 7
    path = comparison_picture(tmp_path / "a.png", GREY, truth, TRUTH, ignore=7)
    assert count(read(path), picture.NOT_ANNOTATED) > 10_000
    errors, _ = picture._paint_errors(
        picture.stretch(GREY), truth, TRUTH, np.zeros(truth.shape, bool), {0: "0"}
    )
    assert (np.ptp(errors, axis=-1) == 0).all()


def test_colour_images_flat_images_and_narrow_sections(tmp_path):
    rgb_image = np.zeros((40, 60, 3), np.uint8)
    comparison_picture(tmp_path / "a.png", rgb_image, TRUTH, TRUTH)
    narrow = np.zeros((400, 3), bool)
    comparison_picture(tmp_path / "b.png", narrow.astype(float), narrow, narrow)
    assert sorted(each.name for each in tmp_path.iterdir()) == ["a.png", "b.png"]


def test_shapes_must_be_equal(tmp_path):
    with pytest.raises(MaskError, match=r"\(40, 60\).*\(39, 60\)"):
        comparison_picture(tmp_path / "a.png", GREY, TRUTH[1:], TRUTH)


def test_a_failed_picture_leaves_the_old_one(tmp_path, monkeypatch):
    from matplotlib.figure import Figure

    path = comparison_picture(tmp_path / "a.png", GREY, TRUTH, TRUTH)
    before = path.read_bytes()

    def fail(self, partial, **options):
        partial.write_bytes(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(Figure, "savefig", fail)
    with pytest.raises(UNetError, match=r"a\.png could not be written \(disk full"):
        comparison_picture(path, GREY, TRUTH, 255 - TRUTH)
    assert path.read_bytes() == before
    assert [each.name for each in tmp_path.iterdir()] == ["a.png"]


def test_importing_the_scores_imports_no_heavy_library():
    code = (
        "import sys, napari_unet.evaluation\n"
        "heavy = {'torch', 'scipy', 'skimage', 'matplotlib', 'rich', 'napari'}\n"
        "sys.exit(' '.join(heavy & set(sys.modules)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
