"""Checks of the training tools that need no data: `python -m unittest` in this folder."""

import argparse
import pathlib
import random
import re
import tempfile
import unittest

import numpy as np

import places
import roadside_plates
from detector import evaluate, lettering, runner, scenes
from detector.photographs import Photograph
from reader.samples import SampleMaker, Shares, places_of
from reader.video import through_video


def _white_plate(corners):
    """A black photograph with one white plate, and what is known of it."""
    image = np.zeros((300, 400, 3), np.uint8)
    (x0, y0), _, (x1, y1), _ = corners
    image[y0:y1, x0:x1] = 255
    return image, Photograph("a", "a", "x", "train", 400, 300, [[x0, y0, x1, y1]], 1.0, [], [corners])


class Scenes(unittest.TestCase):
    def setUp(self):
        self.maker = scenes.SceneMaker(random.Random(3), np.random.default_rng(3))

    def test_an_ignored_box_outside_the_sample_switches_nothing_off(self):
        counts = scenes.targets([], [[-200, -100, -100, -50], [500, 20, 600, 60]])[1]
        self.assertTrue((counts == 1).all())
        self.assertEqual((scenes.targets([], [[-20, -20, 15.9, 7.9]])[1] == 0).sum(), 2)

    def test_labels_lie_on_the_pixels_that_they_name(self):
        image, photograph = _white_plate([[150, 100], [250, 100], [250, 120], [150, 120]])
        off = []
        for _ in range(120):
            picture, plates, _ = self.maker._cut(photograph, image)
            if len(plates) != 1 or not (2 < plates[0].box[0] and plates[0].box[2] < 380 and 2 < plates[0].box[1] and plates[0].box[3] < 254):
                continue
            bright = np.clip(picture[..., 0].astype(float) - 121, 0, None)
            y, x = np.mgrid[0:256, 0:384] + 0.5
            if bright.sum():
                middle = plates[0].corners.mean(0)
                off.append([(bright * x).sum() / bright.sum() - middle[0], (bright * y).sum() / bright.sum() - middle[1]])
        self.assertGreater(len(off), 40)
        self.assertLess(np.abs(np.mean(off, axis=0)).max(), 0.05)

    def test_a_target_decodes_to_its_plate(self):
        corners = np.array([[100, 80], [200, 90], [198, 114], [98, 104]], float)
        target = scenes.targets([scenes.Plate(scenes._box_of(corners), corners)], [])
        maps = np.full((13, 32, 48), -9.0)
        near = target[2] > 0
        maps[0][near] = 5 * target[0][near]
        maps[1:5][:, near] = np.log(np.maximum(target[4:8][:, near], 1e-3) / 8)
        maps[5:13][:, near] = target[8:16][:, near] / 32
        found = runner.candidates(maps, least_logit=0.0)
        self.assertEqual(len(found), 1)
        np.testing.assert_allclose(found[0].corners, corners, atol=0.01)
        np.testing.assert_allclose(found[0].box, scenes._box_of(corners), atol=0.01)

    def test_lettering_never_mixes_capitals_and_digits_as_a_mark_does(self):
        rng, mark = random.Random(1), re.compile(r"\b(?=[A-Z0-9]*[A-Z])(?=[A-Z0-9]*[0-9])[A-Z0-9]{4,8}\b")
        for _ in range(3000):
            self.assertIsNone(mark.search(lettering._line(rng)))
        for _ in range(100):
            panel, mask = lettering.random_lettering(rng)
            self.assertTrue(mask is None or mask.shape == panel.shape[:2])


class Figures(unittest.TestCase):
    def test_a_detector_that_finds_nothing_has_found_nothing(self):
        scene = evaluate.Scene("a", 640, 480, [[10, 10, 90, 30]], [[]], [])
        outcome = evaluate.Outcome([scene], [[]], False)
        self.assertEqual(outcome.found(outcome.threshold_for(0.05)), (0, 1))

    def test_each_label_is_matched_once_and_the_rest_is_false(self):
        scene = evaluate.Scene("a", 640, 480, [[10, 10, 90, 30]], [[]], [[300, 300, 380, 320]])
        at = lambda x, y, logit: runner.Candidate(logit, np.array([x, y, x + 80, y + 20.0]), np.zeros((4, 2)))  # noqa: E731
        found = [at(10, 10, 3.0), at(12, 10, 2.0), at(300, 300, 1.0), at(500, 10, 0.5)]
        verdicts = [verdict for _, verdict in evaluate.matched(scene, found, adjudicated=True)]
        self.assertEqual(verdicts, ["plate", "false", "unjudged", "false"])
        verdicts = [verdict for _, verdict in evaluate.matched(scene, found, adjudicated=False)]
        self.assertEqual(verdicts, ["plate", "false", "false", "false"])


class Reader(unittest.TestCase):
    def test_places_name_the_characters_where_they_stand(self):
        places_ = places_of("A1", [(20, 30, 0), (60, 30, 0)]).reshape(2, 40)
        self.assertEqual((places_[0, 5], places_[0, 15], places_[1].max()), (11, 2, 0))

    def test_a_drawn_sample_knows_its_text(self):
        shares = Shares(photographed=0.0, junk=0.0, replaced=0.0, video=0.3, plates=roadside_plates.SHARES)
        maker = SampleMaker(random.Random(1), np.random.default_rng(1), [], [], None, shares)
        for sample in maker.batch(20):
            self.assertEqual(sample.patch.shape, (64, 160))
            # Two characters may stand so close that one place has to speak for both.
            self.assertLessEqual((sample.places > 0).sum(), len(sample.text))
            self.assertGreaterEqual((sample.places > 0).sum(), len(sample.text) - 2)


    def test_a_place_without_a_plate_reads_as_nothing(self):
        shares = Shares(photographed=0.0, junk=1.0, replaced=0.0)
        for sample in SampleMaker(random.Random(1), np.random.default_rng(1), [], [], None, shares).batch(6):
            self.assertEqual((sample.text, sample.places.max()), ("", 0))

    def test_video_gives_each_picture_back_where_it_lay(self):
        noise = np.random.default_rng(2)
        pictures = [np.full(shape, level, np.uint8) for shape, level in (((40, 170), 60), ((61, 333), 120), ((90, 50), 200))]
        for picture in pictures:  # texture, so that a displaced cell would show
            picture[10:30, 10:40] = noise.integers(0, 255, (5, 10)).repeat(4, 0).repeat(3, 1)
        for before, after in zip(pictures, through_video(random.Random(1), pictures)):
            self.assertEqual(before.shape, after.shape)
            self.assertLess(np.abs(before.astype(float) - after).mean(), 12)
            self.assertGreater(np.corrcoef(before[8:32, 8:42].ravel(), after[8:32, 8:42].ravel())[0, 1], 0.8)
        self.assertEqual(through_video(random.Random(1), []), [])


class Places(unittest.TestCase):
    def test_photographs_stay_out_of_a_checkout(self):
        with tempfile.TemporaryDirectory() as folder:
            (pathlib.Path(folder) / ".git").mkdir()
            with self.assertRaises(argparse.ArgumentTypeError):
                places.outside_folder(f"{folder}/work")


if __name__ == "__main__":
    unittest.main()
