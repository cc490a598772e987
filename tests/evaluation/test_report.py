import json

import numpy as np
import pytest

from napari_unet.data import Stack
from napari_unet.errors import MaskError, StackFormatError
from napari_unet.evaluation import evaluate

TRUTH = np.array([[[255, 255, 0, 255, 255]], [[255, 0, 0, 255, 255]]], np.uint8)


def labels(pixels, **options):
    return Stack(np.asarray(pixels), "ZYX", **options)


def test_labels_of_two_classes():
    prediction = TRUTH.copy()
    prediction[0, 0, 2] = 255
    result = evaluate(labels(prediction), labels(TRUTH, name="truth"))
    membrane, cell = result.overlap.classes
    assert (membrane.name, cell.name) == ("0", "255")
    assert membrane.iou == pytest.approx(2 / 3)
    assert cell.iou == pytest.approx(7 / 8)
    assert result.shape == (2, 1, 5)
    assert result.truth == "truth"
    assert result.cell_value == 255
    # Section 0: two cells of 2 became one (see test_missed_membrane); section 1: same.
    assert result.membranes.rand == pytest.approx((2 / 3 + 1) / 2)
    assert result.membranes.thresholds == (0.5,)
    assert result.remarks == ()


def probabilities(cell, axes="CZYX", **options):
    stacked = np.stack([1 - cell, cell]).astype(np.float32)
    order = ["CZYX".index(axis) for axis in axes]
    return Stack(stacked.transpose(order), axes, **options)


@pytest.mark.parametrize("axes", ["CZYX", "ZCYX", "ZYXC"])
@pytest.mark.parametrize("names", [("0", "255"), ()])
def test_probabilities_give_labels_and_thresholds(axes, names):
    # The membrane of section 0 is only seen from t = 0.6 on, too faint for argmax.
    cell = np.where(TRUTH == 255, 0.95, 0.2)
    cell[0, 0, 2] = 0.55
    result = evaluate(probabilities(cell, axes, channel_names=names), labels(TRUTH))
    assert result.overlap.classes[0].recall == pytest.approx(2 / 3)
    assert (result.membranes.rand, result.membranes.rand_threshold) == (1, 0.6)


def test_cell_probability_without_channels():
    cell = np.where(TRUTH == 255, 0.95, 0.2)
    result = evaluate(labels(cell), labels(TRUTH))
    assert [each.name for each in result.overlap.classes] == ["0", "255"]
    assert result.overlap.accuracy == 1
    assert result.membranes.rand == 1


def test_channels_follow_their_names_not_their_order():
    swapped = np.stack([TRUTH == 255, TRUTH == 0]).astype(np.float32)
    prediction = Stack(swapped, "CZYX", channel_names=("255", "0"))
    result = evaluate(prediction, labels(TRUTH))
    assert result.overlap.accuracy == 1
    assert result.membranes.rand == 1


def test_channel_names_that_are_words_name_the_classes():
    cell = (TRUTH == 255).astype(float)
    prediction = probabilities(cell, channel_names=("membrane", "cell"))
    result = evaluate(prediction, labels(TRUTH))
    assert [each.name for each in result.overlap.classes] == ["membrane", "cell"]
    assert result.overlap.accuracy == 1


def test_either_value_may_be_the_cell():
    result = evaluate(labels(255 - TRUTH), labels(255 - TRUTH), cell_value=0)
    assert result.membranes.rand == 1
    with pytest.raises(MaskError, match=r"cell value 7 is not among .* \[0, 255\]"):
        evaluate(labels(TRUTH), labels(TRUTH), cell_value=7)


def test_three_classes_have_no_membranes_unless_asked():
    truth = np.array([[[0, 1, 2, 2]]])
    assert evaluate(labels(truth), labels(truth)).membranes is None
    asked = evaluate(labels(truth), labels(truth), membranes=True, cell_value=2)
    assert asked.membranes.rand == 1


def test_truth_without_cells_is_scored_without_membranes():
    truth = np.zeros((1, 1, 4), np.uint8)
    result = evaluate(labels([[[0, 0, 255, 0]]]), labels(truth))
    assert result.membranes is None
    assert result.overlap.accuracy == pytest.approx(3 / 4)


def test_ignored_pixels_are_not_scored():
    truth = np.array([[[0, 255, 7, 7]]], np.uint8)
    prediction = np.array([[[0, 255, 0, 255]]], np.uint8)
    result = evaluate(labels(prediction), labels(truth), ignore=7)
    assert result.overlap.n_pixels == 2
    assert result.overlap.accuracy == 1
    assert result.membranes is not None
    evaluate(labels(truth), labels(truth), ignore=7)
    with pytest.raises(MaskError, match="ignored value 7 at 1 pixels"):
        evaluate(labels([[[0, 7, 7, 7]]]), labels(truth), ignore=7)


def test_values_that_only_the_prediction_holds_are_remarked():
    result = evaluate(labels(TRUTH // 255), labels(TRUTH))
    assert [each.name for each in result.overlap.classes] == ["0", "1", "255"]
    assert "holds 1, which the scored truth never does" in result.remarks[0]
    assert "truth holds 255, which the prediction never does" in result.remarks[1]
    assert "give prediction_values" in result.text()


def test_single_section_and_axes_of_length_one():
    result = evaluate(Stack(TRUTH[0], "YX"), labels(TRUTH[:1]))
    assert result.shape == (1, 1, 5)
    assert result.overlap.accuracy == 1


@pytest.mark.parametrize(
    ("prediction", "message"),
    [
        (labels(TRUTH[:1]), r"\(1, 1, 5\)"),
        (labels(np.arange(10).reshape(TRUTH.shape) / 5), "go from 1 to 1.8"),
        (Stack(np.zeros((2, 2, 1, 5), np.uint8), "CZYX"), "2 uint8 values per pixel"),
        (Stack(np.zeros((3, 2, 1, 5), np.float32), "CZYX"), r"3 channels.*\[0, 255\]"),
        (Stack(np.full((2, 2, 1, 5), np.nan), "CZYX"), "go from nan to nan"),
    ],
)
def test_what_does_not_fit_is_refused(prediction, message):
    with pytest.raises(MaskError, match=message):
        evaluate(prediction, labels(TRUTH))


def test_truth_that_is_no_mask_is_refused():
    with pytest.raises(MaskError, match=r"holds 0\.5, but a mask holds whole"):
        evaluate(labels(TRUTH), labels(np.full(TRUTH.shape, 0.5)))
    many = np.arange(100).reshape(1, 10, 10)
    with pytest.raises(MaskError, match="100 values, but a mask has at most 64"):
        evaluate(labels(many), labels(many))


def test_truth_that_is_not_finite_is_refused():
    with pytest.raises(MaskError, match="holds inf, but a mask holds whole"):
        evaluate(labels(TRUTH), labels(np.full(TRUTH.shape, np.inf)))


def test_ignored_value_is_not_one_of_the_64():
    many = np.arange(65).reshape(1, 5, 13)
    result = evaluate(labels(many % 64), labels(many), ignore=64)
    assert result.overlap.n_pixels == 64
    with pytest.raises(MaskError, match="65 values"):
        evaluate(labels(many), labels(many))


def test_arrays_and_paths_are_scored_like_stacks(tmp_path):
    prediction = TRUTH.copy()
    prediction[0, 0, 2] = 255
    expected = evaluate(labels(prediction), labels(TRUTH))
    of_arrays = evaluate(prediction, TRUTH)
    assert of_arrays.overlap == expected.overlap
    assert of_arrays.membranes == expected.membranes
    assert (of_arrays.prediction, of_arrays.truth) == ("The prediction", "The truth")
    np.save(tmp_path / "truth.npy", TRUTH)
    of_list = evaluate(prediction[0].tolist(), labels(TRUTH[:1], name="mine"))
    assert (of_list.shape, of_list.truth) == ((1, 1, 5), "mine")
    of_path = evaluate(prediction, tmp_path / "truth.npy")
    assert of_path.overlap == expected.overlap
    assert of_path.truth == str(tmp_path / "truth.npy")


def test_array_whose_axes_cannot_be_told_is_named():
    with pytest.raises(StackFormatError, match="The prediction has the shape"):
        evaluate(np.zeros((2, 2, 1, 5)), TRUTH)


def test_to_dict_goes_through_json():
    result = evaluate(labels(TRUTH), labels(TRUTH))
    stored = json.loads(json.dumps(result.to_dict()))
    assert stored["membranes"]["rand"] == 1
    assert stored["overlap"]["classes"][1]["name"] == "255"
    assert stored["shape"] == [2, 1, 5]


def test_table_as_text():
    prediction = np.where(TRUTH == 0, 0, 255)
    prediction[0, 0, 0] = 0
    text = evaluate(
        labels(prediction, name="a[b].tif"), labels(TRUTH, name="truth.tif")
    ).text()
    assert "a[b].tif against truth.tif: 2 sections of 1 × 5" in text
    rows = {
        line.split()[0]: line.split()[1:] for line in text.splitlines() if line.strip()
    }
    # Class 0: TP 3, FP 1, FN 0.  Class 255: TP 6, FP 0, FN 1.
    assert rows["0"] == ["0.7500", "0.8571", "0.7500", "1.0000", "3"]
    assert rows["255"] == ["0.8571", "0.9231", "1.0000", "0.8571", "7"]
    assert rows["mean"] == ["0.8036", "0.8901"]
    assert "Pixel accuracy 0.9000 over 10 pixels." in text
    assert rows["Rand,"][0] == "V_rand"
    assert "\x1b" not in text


def test_undefined_precision_is_a_dash():
    text = evaluate(labels(np.zeros_like(TRUTH)), labels(TRUTH)).text()
    assert "–" in next(
        line for line in text.splitlines() if line.split()[:1] == ["255"]
    )
