from napari_unet.evaluation.section_scores import SectionScores


def test_the_examples_are_best_median_and_worst():
    scores = SectionScores("mean IoU", (0.5, None, 0.9, 0.1, 0.7))
    assert scores.ranked() == [3, 0, 4, 2]
    assert scores.examples() == {"best": 2, "median": 0, "worst": 3}
    errors = SectionScores("RMSE", (0.5, None, 0.9, 0.1, 0.7), lower_is_better=True)
    assert errors.examples() == {"best": 3, "median": 4, "worst": 2}


def test_no_section_is_shown_twice():
    assert SectionScores("IoU", (0.5, None)).examples() == {"only": 0}
    assert SectionScores("IoU", (0.5, 0.6)).examples() == {"best": 1, "worst": 0}
    assert SectionScores("IoU", (None,)).examples() == {}
