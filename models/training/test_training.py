"""Checks of the training tools that need no data: `python -m unittest` in this folder."""

import argparse
import pathlib
import random
import re
import shutil
import tempfile
import unittest
from unittest import mock

import numpy as np

import drive_by
import places
import roadside_plates
from detector import evaluate, lettering, runner, scenes
from detector.photographs import Photograph
from reader.samples import SampleMaker, Shares, places_of
from reader.video import through_video
from traffic import make, patches, plan, truth
from traffic.scenarios import MPS_PER_MPH, PLATE_WIDTH_M, PLATE_Z_M, SCENARIOS, best_plate_px, camera_for, tailored
from traffic.stage import Stage


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


class Traffic(unittest.TestCase):
    SMALL = (640, 360)

    def _small(self, name, count=3, seed=5, **changes):
        return Stage(tailored(SCENARIOS[name], **changes), count, seed, self.SMALL)

    def test_each_scenario_keeps_its_promised_width_at_the_edge_of_the_frame(self):
        for name, scenario in SCENARIOS.items():
            for size in (self.SMALL, (1280, 720), (1920, 1080)):
                camera = camera_for(scenario, size)
                half = np.array([PLATE_WIDTH_M / 2, 0, 0])
                middle = np.array([scenario.near_x_m, scenario.near_m, PLATE_Z_M])
                for nearer_m, inside in ((0.0, True), (1.0, False)):
                    corners = [middle + side * half + [0, -nearer_m, level] for side in (-1, 1) for level in (-0.0555, 0.0555)]
                    pixels, _ = camera.project(corners)
                    self.assertEqual(bool((pixels >= 0).all() and (pixels <= size).all()), inside, (name, size, nearer_m))
                ends, _ = camera.project([middle - half, middle + half])
                self.assertAlmostEqual(np.linalg.norm(ends[1] - ends[0]) / best_plate_px(scenario, size[0]), 1, delta=0.002)

    def test_what_is_drawn_reaches_the_promised_width_and_character_height(self):
        for name, least, most in (("gantry-70", 0.90, 1.12), ("far-70", 0.90, 1.12), ("in-vehicle-140", 0.80, 1.05)):
            stage = self._small(name, count=4)
            seen = truth.Truth("day", stage.scenario.fps)
            with mock.patch.object(truth, "LEAST_PLATE_PX", 10.0):
                for index, (_, sightings) in enumerate(stage.frames()):
                    # From a vehicle, the promise is about oncoming traffic.
                    seen.add(index, [s for s in sightings if name != "in-vehicle-140" or s.passage.lane == 0])
            rows = [dict(zip(truth.TRUTH_COLUMNS, row)) for row in seen.rows()]
            self.assertGreaterEqual(len(rows), 2)
            for row in rows:
                share = row["max_plate_width_px"] / best_plate_px(stage.scenario, self.SMALL[0])
                self.assertTrue(least < share < most, (name, share))
                self.assertAlmostEqual(float(row["max_char_height_px"]) / row["max_plate_width_px"], 79 / 520, delta=0.025)

    def test_corners_lie_on_the_pixels_of_the_plate(self):
        red = lambda image, look, light: np.broadcast_to(np.array([0, 0, 255], np.uint8), image.shape).copy()  # noqa: E731
        off = []
        with mock.patch.object(patches.PlatePatch, "_lit", staticmethod(red)), mock.patch.object(plan, "PAINTS", ("grey",)):
            for name in ("gantry-70", "verge-70", "in-vehicle-140"):
                stage = self._small(name, grain=0.0, exposure_ms=0.1)
                for frame, sightings in stage.frames(every=3):
                    for sighting in sightings:
                        low, high = sighting.corners.min(axis=0) - 3, sighting.corners.max(axis=0) + 3
                        if sighting.hidden or sighting.width_px < 30 or (low < 0).any() or (high > self.SMALL).any():
                            continue
                        left, top = np.floor(low).astype(int)
                        right, bottom = np.ceil(high).astype(int)
                        area = frame[top:bottom, left:right].astype(float)
                        redness = np.clip(area[..., 2] - area[..., :2].mean(axis=2) - 20, 0, None)
                        y, x = np.mgrid[top:bottom, left:right] + 0.5
                        middle = np.array([(redness * x).sum(), (redness * y).sum()]) / redness.sum()
                        off.append(middle - sighting.corners.mean(axis=0))
        self.assertGreater(len(off), 30)
        self.assertLess(np.abs(np.mean(off, axis=0)).max(), 0.15)
        self.assertLess(np.abs(off).max(), 0.6)

    def test_one_seed_draws_one_clip(self):
        def pixels(name, seed):
            return [frame.tobytes() for frame, _ in self._small(name, count=2, seed=seed).frames(every=9)]

        for name in ("gantry-70", "night-ir-70", "rain-70", "in-vehicle-140"):
            self.assertEqual(pixels(name, 5), pixels(name, 5), name)
        self.assertNotEqual(pixels("gantry-70", 5), pixels("gantry-70", 6))

    def test_nobody_drives_through_anybody(self):
        for name, scenario in SCENARIOS.items():
            passages = plan.traffic(scenario, 60, 3, 100.0)
            end = max(p.way.between(scenario.near_m, 100.0)[1] for p in passages)
            for time_s in np.arange(0, end, 0.5):
                for lane in range(len(scenario.lanes)):
                    here = sorted(((p.way.y_m(time_s), p) for p in passages if p.lane == lane), key=lambda item: item[0])
                    here = [(y, p) for y, p in here if scenario.near_m < y < 100]
                    for (near, first), (far, _) in zip(here, here[1:]):
                        self.assertGreater(far - near, plan.LENGTHS_M[first.body[0]], (name, time_s))

    def test_marks_are_dealt_once_and_pairs_differ_in_one_look_alike(self):
        for name in SCENARIOS:
            dealt = {}
            for passage in plan.traffic(SCENARIOS[name], 300, 1, 60.0):
                self.assertEqual(dealt.setdefault(passage.mark.vrm, passage.number), passage.number, name)
            self.assertEqual(len(dealt), 300)
        passages = plan.traffic(SCENARIOS["look-alikes"], 100, 1, 60.0)
        for lane in (0, 1):
            in_lane = [p for p in passages if p.lane == lane]
            for first, second in zip(in_lane[::2], in_lane[1::2]):
                differing = [a + b for a, b in zip(first.mark.vrm, second.mark.vrm) if a != b]
                self.assertEqual(len(differing), 1)
                alike = plan.LOOK_ALIKE_LETTERS + plan.LOOK_ALIKE_DIGITS
                self.assertTrue(any(set(differing[0]) == set(pair) for pair in alike), differing)
                self.assertLess(second.way.passing_s - first.way.passing_s, 1.2)

    def test_speeds_are_what_the_scenario_says(self):
        scenario = SCENARIOS["in-vehicle-140"]
        oncoming = [p for p in plan.traffic(scenario, 80, 2, 150.0) if p.lane == 0]
        self.assertAlmostEqual(np.mean([p.closing_mph for p in oncoming]), 140, delta=2)
        for passage in oncoming:
            self.assertAlmostEqual((passage.way.y_m(0) - passage.way.y_m(1)) / MPS_PER_MPH, passage.closing_mph, places=6)

    def test_the_queue_stops_for_tens_of_seconds(self):
        scenario = SCENARIOS["stop-and-go"]
        passages = plan.traffic(scenario, 30, 4, 40.0)
        begin, end = passages[9].way.between(scenario.near_m, 40.0)
        self.assertGreater(end - begin, 5)
        still = [abs(passages[9].way.y_m(t + 1) - passages[9].way.y_m(t)) < 0.05 for t in np.arange(0, end, 1.0)]
        self.assertGreater(sum(still), 10)

    def test_there_and_back_shows_both_ends_of_a_vehicle(self):
        both = {}
        for passage in plan.traffic(SCENARIOS["there-and-back"], 20, 1, 60.0):
            both.setdefault(passage.number, []).append(passage)
        for front, rear in both.values():
            self.assertEqual((front.end, rear.end, front.mark, front.body), ("front", "rear", rear.mark, rear.body))
            self.assertGreater(rear.way.passing_s, front.way.passing_s)
            self.assertTrue(rear.style.rear and not front.style.rear)

    @unittest.skipUnless(shutil.which("ffmpeg"), "ffmpeg is not installed")
    def test_a_clip_is_the_same_bytes_and_its_truth_reads_as_the_demo_s(self):
        with tempfile.TemporaryDirectory() as folder:
            written = []
            for name in ("a", "b"):
                paths = [f"{folder}/{name}.{kind}" for kind in ("mp4", "truth", "corners", "set")]
                arguments = zip(("--output", "--truth", "--corners", "--manifest"), paths)
                options = ["--scenario", "gantry-70", "--vehicles", "2", "--size", "640x360", "--seconds", "4"]
                make.main([*options, *(part for pair in arguments for part in pair)])
                written.append([pathlib.Path(path).read_bytes().replace(name.encode() + b".mp4", b"") for path in paths])
            self.assertEqual(written[0], written[1])
            self.assertGreaterEqual(len(written[0][1].splitlines()), 2)
            with open(pathlib.Path(places.__file__).parent.parent / "demo" / "truth.csv") as demo:
                self.assertTrue(written[0][1].decode().startswith(demo.readline().strip()))
            self.assertEqual(truth.LEAST_PLATE_PX, drive_by.LEAST_PLATE_PX)


class Places(unittest.TestCase):
    def test_photographs_stay_out_of_a_checkout(self):
        with tempfile.TemporaryDirectory() as folder:
            (pathlib.Path(folder) / ".git").mkdir()
            with self.assertRaises(argparse.ArgumentTypeError):
                places.outside_folder(f"{folder}/work")


if __name__ == "__main__":
    unittest.main()
