"""The made hive: the same every time, boxes exact, sizes and numbers as promised, and quick."""

import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest

from edgekit.data import HIVE_CLASSES, HiveClip, hive_pictures, load_dataset
from edgekit.data.hive.insects import VARIANTS, sprite
from edgekit.data.hive.made import VISIBLE, hive_masks
from edgekit.data.hive.masked import MASK_CLASSES, class_mask
from edgekit.data.hive.motion import bee_visit, hornet_visit
from edgekit.data.hive.render import COVERED, Insect, Seen, draw
from edgekit.data.hive.scene import BEE_MM, HORNET_MM, Scene, make_scene
from edgekit.data.sample import Dataset
from edgekit.errors import UsageError


@pytest.fixture(scope="module")
def pictures() -> Dataset:
    return hive_pictures(96)


@pytest.fixture(scope="module")
def clip() -> HiveClip:
    return HiveClip(4)


def rng(*key: int) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(list(key)))


# --- pictures ---


@pytest.mark.slow
def test_masks_are_what_the_boxes_are_around(pictures: Dataset) -> None:
    insects = 0
    for seen, sample in zip(hive_masks(6), pictures, strict=False):
        np.testing.assert_array_equal(seen.frame, sample.read())
        np.testing.assert_array_equal(seen.labels, sample.box_labels)
        for mask, box in zip(seen.masks, sample.boxes.astype(int).tolist(), strict=True):
            rows, columns = np.nonzero(mask.any(1))[0], np.nonzero(mask.any(0))[0]
            assert [columns[0], rows[0], columns[-1] + 1, rows[-1] + 1] == box
            insects += mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].mean() < 0.95
    assert insects > 5, "an insect does not fill its box"


def test_the_class_of_a_pixel_is_that_of_the_nearest_insect(pictures: Dataset) -> None:
    masked = load_dataset("synthetic://hive?n=5&val=1", split="train", truth="masks")
    assert masked.classes == MASK_CLASSES == ("background", "bee", "hornet")
    assert masked.masked
    covered = np.zeros(4, int)
    for sample, boxed, own in zip(masked, pictures, hive_masks(5), strict=False):
        np.testing.assert_array_equal(sample.read(), boxed.read())
        mask = sample.read_mask()
        covered += np.bincount(mask.ravel() + 1, minlength=4)
        for alone, label in zip(own.masks, own.labels, strict=True):
            others = own.masks.sum(0) - alone > 0
            free = alone & ~others & (mask != -1)
            assert (mask[free] == label + 1).mean() > 0.9, "but for flies and leaves in front"
    assert (covered[1:] > 0).all()
    assert covered[1] > 0.9 * covered.sum()


def test_an_insect_in_front_covers_what_is_behind_it() -> None:
    clip = HiveClip(4)
    back, front = list(clip.insects(90))[:2]
    square, whole = np.ones((4, 4), bool), (0, 0, 4, 4)
    bee, hornet = (replace(one, kind=kind) for one, kind in ((back, "bee"), (front, "hornet")))
    far, near = Seen(bee, whole, 1.0, square, 300.0), Seen(hornet, whole, 1.0, square, 200.0)
    for order in ((far, near), (near, far)):
        assert (class_mask(order, 5, 5)[:4, :4] == 2).all()
    assert (class_mask([far, replace(near, visible=0.1)], 4, 4) == -1).all()
    fly = replace(near, insect=replace(front, kind="fly"))
    assert (class_mask([far, fly], 4, 4) == 0).all()


def test_a_picture_depends_on_its_seed_and_number_only() -> None:
    few, more, other = hive_pictures(3), hive_pictures(5), hive_pictures(3, seed=1)
    for a, b, c in zip(few, more, other, strict=False):
        np.testing.assert_array_equal(a.read(), b.read())
        np.testing.assert_array_equal(a.ground_truth().boxes, b.ground_truth().boxes)
        assert (a.read() != c.read()).any()
        assert a.name == b.name != c.name
    assert few.digest == hive_pictures(3).digest


def test_another_process_makes_the_same_pixels() -> None:
    code = "from edgekit.data import hive_pictures; print(hive_pictures(4, 3).digest)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout.strip() == hive_pictures(4, 3).digest


def test_the_data_set(pictures: Dataset) -> None:
    assert pictures.layout == "made"
    assert pictures.classes == HIVE_CLASSES == ("bee", "hornet")
    assert pictures.boxed
    assert pictures.boxed
    assert len({s.name for s in pictures}) == 96
    assert len({s.content() for s in pictures}) == 96
    for sample in pictures:
        assert sample.read().shape == (360, 640, 3)
        for boxes in (sample.boxes, sample.ignored_boxes):
            if boxes is not None and len(boxes):
                assert boxes.min() >= 0
                assert (boxes[:, 2:] <= (640, 360)).all()


def test_some_are_empty_and_many_are_without_hornets(pictures: Dataset) -> None:
    labels = [set(s.ground_truth().labels.tolist()) for s in pictures]
    assert 6 <= sum(not found for found in labels) <= 30
    assert 26 <= sum(1 in found for found in labels) <= 58
    assert sum(found == {0} for found in labels) >= 16
    bees, hornets = pictures.box_counts
    assert bees > 3 * hornets > 60


def test_sizes_are_those_of_bees_and_hornets(pictures: Dataset) -> None:
    sides: tuple[list[float], list[float]] = ([], [])
    for sample in pictures:
        truth = sample.ground_truth()
        for box, label in zip(truth.boxes, truth.labels, strict=True):
            sides[int(label)].append(float((box[2:] - box[:2]).max()))
    bee, hornet = (np.array(s) for s in sides)
    assert 1.5 < np.median(hornet) / np.median(bee) < 3
    assert 14 < np.percentile(bee, 10) < np.percentile(bee, 95) < 60
    assert 28 < np.percentile(hornet, 10) < np.percentile(hornet, 95) < 120


def test_the_hornet_is_dark_with_an_orange_band_and_the_bee_is_brown() -> None:
    for variant in range(VARIANTS):
        bee, hornet = (sprite(kind, "top", "folded", variant)[0].bgra for kind in ("bee", "hornet"))
        solid = [s[s[..., 3] > 0.95] for s in (bee, hornet)]
        assert np.median(solid[1][:, :3].mean(1)) < 0.75 * np.median(solid[0][:, :3].mean(1))
        orange = [((p[:, 2] > 120) & (p[:, 2] > 3 * p[:, 0])).mean() for p in solid]
        assert orange[1] > 0.06
        assert orange[1] > 2 * orange[0]


def test_pictures_have_the_statistics_of_pictures(pictures: Dataset) -> None:
    frames = [s.read() for s in pictures]
    means = np.array([f.mean() for f in frames])
    assert 60 < means.mean() < 160
    assert means.std() > 15
    for frame in frames:
        assert frame.std() > 10
        assert ((frame == 0) | (frame == 255)).mean() < 0.4


def test_other_sizes() -> None:
    for height, width in ((192, 320), (480, 480), (97, 131)):
        for sample in hive_pictures(3, 2, height, width):
            assert sample.read().shape == (height, width, 3)


@pytest.mark.parametrize(("n", "seed", "height"), [(0, 0, 360), (1, -1, 360), (1, 0, 95)])
def test_what_cannot_be_made(n: int, seed: int, height: int) -> None:
    with pytest.raises(UsageError):
        hive_pictures(n, seed, height)


# --- boxes ---


def flat(scene: Scene, insects: list[Insect], level: float) -> tuple[np.ndarray, list[Seen]]:
    """The insects on an even ground of that grey, without shadows: what they cover can be read off."""
    picture = np.full((*scene.size, 3), level, np.float32)
    seen = draw(picture, scene, insects, np.ones_like(picture), shadows=False)
    return picture, seen


def coverage(scene: Scene, insects: list[Insect]) -> tuple[np.ndarray, list[Seen]]:
    """Alpha, from two grounds: white shows through the insects as much more as they leave of it."""
    dark, seen = flat(scene, insects, 0.0)
    bright, _ = flat(scene, insects, 1000.0)
    return 1 - (bright - dark).mean(axis=2) / 1000, seen


@pytest.mark.parametrize("kind", HIVE_CLASSES)
def test_a_box_holds_the_insect_and_nothing_more(kind: str) -> None:
    checked = blurred = 0
    for i in range(12):
        scene = make_scene(rng(5, i), 360, 640)
        visit = bee_visit(scene, rng(6, i), 20) if kind == "bee" else hornet_visit(scene, rng(6, i), 20, 4)
        for row in range(0, len(visit), max(1, len(visit) // 12)):
            alpha, seen = coverage(scene, [visit.at(row, 1)])
            covered = alpha >= COVERED
            assert len(seen) == int(covered.any())
            for one in seen:
                x1, y1, x2, y2 = one.box
                ys, xs = np.nonzero(alpha >= COVERED + 1e-3)
                assert (x1, y1) <= (xs.min(), ys.min()), "something of it is outside"
                assert x2 > xs.max()
                assert y2 > ys.max()
                touched = alpha >= COVERED - 1e-3
                for edge in (touched[y1, x1:x2], touched[y2 - 1, x1:x2], touched[y1:y2, x1], touched[y1:y2, x2 - 1]):
                    assert edge.any(), "the box is loose"
                checked += 1
                blurred += bool(np.linalg.norm(one.insect.velocity) > 200)
    assert checked > 50
    assert blurred > 3


def test_without_an_insect_only_its_box_changes_and_its_shadow() -> None:
    scene = make_scene(rng(5, 3), 360, 640)
    visits = [bee_visit(scene, rng(8, i), 20) for i in range(8)]
    crowd = [visit.at(len(visit) // 2, i) for i, visit in enumerate(visits)]
    crowd += [hornet_visit(scene, rng(9, i), 20, 4).at(50, 20 + i) for i in range(2)]
    everyone, seen = flat(scene, crowd, 120.0)
    assert len(seen) >= 5
    for one in seen:
        others, rest = flat(scene, [i for i in crowd if i.ident != one.insect.ident], 120.0)
        changed = np.abs(everyone - others).max(axis=2)
        x1, y1, x2, y2 = one.box
        assert one.visible < 0.05 or changed[y1:y2, x1:x2].max() > 10
        changed[y1:y2, x1:x2] = 0
        assert changed.max() <= COVERED * 255, "it shows outside its box"
        assert {r.insect.ident: r.box for r in rest} == {
            s.insect.ident: s.box for s in seen if s.insect.ident != one.insect.ident
        }, "a box depends on the other insects"


def test_length_in_pixels_is_the_pinhole_cameras() -> None:
    checked = 0
    for i in range(20):
        scene = make_scene(rng(5, i), 360, 640)
        for kind, mm in (("bee", BEE_MM), ("hornet", HORNET_MM)):
            right, out = np.array([1.0, 0, 0]), np.array([0, 0, 1.0])
            ahead = scene.camera.turn[0] if i % 2 else scene.camera.turn[1]  # across the view: not foreshortened
            point = np.array([scene.slot[0], 60.0, 40.0])
            up = np.cross(np.cross(ahead, out if abs(ahead @ out) < 0.9 else right), ahead)
            still = np.zeros(3)
            insect = Insect(
                kind, point, ahead, up / np.linalg.norm(up), still, mm, "folded", 0, 0, np.ones(3, np.float32), 1
            )
            _, seen = flat(scene, [insect], 120.0)
            if not seen or seen[0].visible < 0.99:
                continue
            _, depth = scene.camera.project(point[None])
            length = mm * scene.camera.focal / depth[0]
            x1, y1, x2, y2 = seen[0].box
            along = (x2 - x1) if i % 2 else (y2 - y1)
            assert 0.95 * length < along < 1.45 * length + 3  # feelers and feet reach beyond the body
            checked += 1
    assert checked > 20


def test_what_is_hidden_is_put_aside() -> None:
    scene = make_scene(rng(5, 3), 360, 640)
    toward = scene.camera.place - np.array([0, 40.0, 60.0])
    toward /= np.linalg.norm(toward)
    back = hornet_visit(scene, rng(9, 1), 20, 4).at(30, 1)
    point, still = np.array([0, 40.0, 60.0]), np.zeros(3)

    def hornet(length: float, nearer: float, ident: int) -> Insect:
        return Insect(
            "hornet", point + toward * nearer, back.forward, back.up, still, length, "folded", 0, 0, back.tint, ident
        )

    _, (alone,) = flat(scene, [hornet(25, 0, 1)], 120.0)
    _, (behind, front) = flat(scene, [hornet(25, 0, 1), hornet(50, 12, 2)], 120.0)
    assert alone.visible > 0.99
    assert front.visible > 0.99
    assert behind.visible < VISIBLE
    assert behind.box == alone.box


def test_a_bee_that_walks_in_fades_and_is_gone() -> None:
    scene = make_scene(rng(5, 3), 360, 640)
    x, _, high = scene.slot
    shares = []
    for z in (12.0, 4.0, -6.0, -12.0, -20.0):
        ahead, up = np.array([0, 0, -1.0]), np.array([0, 1.0, 0])
        tint = np.ones(3, np.float32)
        bee = Insect("bee", np.array([x, 3, z]), ahead, up, np.zeros(3), 13, "folded", 0, 0, tint, 1)
        seen = flat(scene, [bee], 120.0)[1]
        shares.append(seen[0].visible if seen else 0.0)
        ends, _ = scene.camera.project(np.array([[x - 30, high, 0], [x + 30, high, 0]]))
        if seen and z < 0:
            assert seen[0].box[1] >= ends[:, 1].min() - 2, "it shows through the front"
    assert shares[0] > 0.99
    assert shares == sorted(shares, reverse=True)
    assert shares[3] < VISIBLE


def test_at_the_frames_edge_less_is_visible_and_the_box_ends_there() -> None:
    scene = make_scene(rng(5, 3), 360, 640)
    visit = bee_visit(scene, rng(8, 1), 20)
    shares = []
    for x in np.linspace(0, 2.0, 60) * scene.spread / 2:
        bee = visit.at(0, 1)
        moved = Insect(
            bee.kind, np.array([x, 30.0, 60.0]), bee.forward, bee.up, np.zeros(3), 13, "folded", 0, 0, bee.tint, 1
        )
        for one in flat(scene, [moved], 120.0)[1]:
            assert 0 <= one.box[0] < one.box[2] <= 640
            shares.append(one.visible)
            if one.visible < 0.9:
                assert one.box[2] == 640 or one.box[3] == 360 or one.box[1] == 0
    assert max(shares) > 0.99
    assert min(shares) < 0.6


# --- the clip ---


def test_random_access_is_the_iteration(clip: HiveClip) -> None:
    other = HiveClip(4, length=45)
    frames = list(other)
    assert len(frames) == 45
    for i in (44, 0, 17):
        again = clip.frame(i)
        for a, b in zip(again, frames[i], strict=True):
            np.testing.assert_array_equal(a, b)
            assert a.dtype == b.dtype
    assert (HiveClip(5).frame(0).frame != frames[0].frame).any()


def test_a_forgotten_visit_is_planned_again_the_same() -> None:
    clip = HiveClip(2)
    before = clip.frame(100)
    for i in range(0, 20 * 3600, 400):
        list(clip.insects(i))
    np.testing.assert_array_equal(clip.frame(100).frame, before.frame)


def test_ids_are_stable_and_motion_is_bounded(clip: HiveClip) -> None:
    last: dict[int, np.ndarray] = {}
    kinds: dict[int, int] = {}
    followed = 0
    for i in range(200):
        frame = clip.frame(i)
        assert frame.frame.dtype == np.uint8
        assert frame.boxes.dtype == np.float32
        assert frame.labels.dtype == frame.ids.dtype == np.int64
        assert len(set(frame.ids.tolist())) == len(frame.ids) == len(frame.labels) == len(frame.boxes)
        now = {}
        for box, label, ident in zip(frame.boxes, frame.labels.tolist(), frame.ids.tolist(), strict=True):
            assert kinds.setdefault(ident, label) == label
            now[ident] = (box[:2] + box[2:]) / 2
            if ident in last:
                assert np.abs(now[ident] - last[ident]).max() < 100
                followed += 1
        last = now
    assert followed > 400
    assert len(kinds) > 10
    assert 1 in kinds.values()


def test_nobody_appears_or_vanishes_in_mid_air() -> None:
    for seed in range(3):
        clip = HiveClip(seed, fps=10)
        present: dict[int, Insect] = {}
        for i in range(900):
            now = {insect.ident: insect for insect in clip.insects(i)}
            gone = [present[k] for k in present.keys() - now.keys()]
            came = [now[k] for k in now.keys() - present.keys()] if i else []
            for insect in (*gone, *came):
                if insect.kind in HIVE_CLASSES and insect.point[2] > -12:  # else it is in the entrance
                    (pixel,), _ = clip.scene.camera.project(insect.point[None])
                    assert not (20 < pixel[0] < 620 and 20 < pixel[1] < 340), f"seed {seed}, frame {i}: {insect}"
            present = now


def test_hornets_come_in_raids_with_quiet_in_between() -> None:
    for seed in range(3):
        clip = HiveClip(seed, fps=2)
        there = np.array([any(x.kind == "hornet" for x in clip.insects(i)) for i in range(2 * 600)])
        edges = np.flatnonzero(np.diff(np.concatenate([[False], there, [False]]).astype(int)))
        starts, ends = edges[::2] / 2, edges[1::2] / 2
        assert len(starts) >= 4
        assert 3 <= starts[0] <= 13.5
        assert (ends - starts).min() > 4
        assert (ends - starts).max() < 40
        assert (starts[1:] - ends[:-1]).min() > 8
        assert (starts[1:] - ends[:-1]).max() < 400


def test_bees_are_busy(clip: HiveClip) -> None:
    counts = [sum(x.kind == "bee" for x in clip.insects(i)) for i in range(0, 4000, 20)]
    assert np.mean(counts) > 3
    assert max(counts) <= 23


@pytest.mark.parametrize(
    "wrong", [{"seed": -1}, {"fps": 0}, {"fps": float("nan")}, {"width": 20}, {"length": 0}], ids=str
)
def test_a_clip_that_cannot_be_made(wrong: dict[str, float]) -> None:
    with pytest.raises(UsageError):
        HiveClip(**wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize("index", [-1, 10])
def test_a_frame_that_is_not_there(index: int) -> None:
    with pytest.raises(UsageError, match="no such frame"):
        HiveClip(length=10).frame(index)


# --- cost ---


@pytest.mark.alone
def test_it_is_quick(clip: HiveClip) -> None:
    for i in range(40):
        clip.frame(i)
    started = time.process_time()
    for i in range(40, 140):
        clip.frame(i)
    clip_seconds = (time.process_time() - started) / 100
    hive_pictures(10)
    started = time.process_time()
    hive_pictures(30)
    picture_seconds = (time.process_time() - started) / 30
    # one core at 640 x 360: 60 frames and 25 pictures a second; processor time counts every thread of OpenCV
    assert clip_seconds < 3 / 60
    assert picture_seconds < 3 / 25


def test_no_torch() -> None:
    code = "import sys; from edgekit.data import hive_pictures; hive_pictures(1); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout.strip() == "False"
