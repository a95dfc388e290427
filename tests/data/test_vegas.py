"""VEGAS: the paper's numbers of videos are drawn from each class, and stay where they are drawn."""

from collections import Counter

import pytest
from trees import tree

from s2s_cli.choices import Layout
from s2s_cli.data.layouts import list_clips
from s2s_cli.data.vegas import TO_TEST, TO_TRAIN


def videos(count, scene="dog"):
    return [f"{scene}/videos/video_{number:05d}.mp4" for number in range(count)]


def splits(root, **given):
    listing = list_clips(Layout.VEGAS, root, **{"val_share": 0, **given})
    return {clip.key: clip.split for clip in listing.clips}


def test_a_class_gives_eight_hundred_to_train_on_and_fifty_to_test_on(tmp_path):
    listing = list_clips(Layout.VEGAS, tree(tmp_path, *videos(1000)), val_share=0)
    assert Counter(clip.split for clip in listing.clips) == {"train": TO_TRAIN, "test": TO_TEST}
    assert (TO_TRAIN, TO_TEST) == (800, 50)
    assert (listing.named, listing.missing) == (1000, ())
    assert listing.remarks == (
        "VEGAS has no published split: 850 of 1,000 videos were drawn by the seed, "
        "at most 800 to train on and 50 to test on of each class.",
    )
    assert listing.clips[0].key.startswith("dog/video_0")
    assert listing.clips[0].seconds is None
    with_val = list_clips(Layout.VEGAS, tmp_path, val_share=0.5)
    drawn = Counter(clip.split for clip in with_val.clips)
    assert drawn["test"] == 50
    assert drawn["train"] + drawn["val"] == 800
    assert 300 < drawn["val"] < 500
    assert splits(tmp_path, seed=1) != splits(tmp_path)


def test_more_videos_move_none_from_training_to_testing_or_back(tmp_path):
    before = splits(tree(tmp_path, *videos(850)))
    after = splits(tree(tmp_path, *videos(1700)))
    assert len(before) == len(after) == 850
    both = before.keys() & after.keys()
    assert len(both) > 100
    assert all(before[key] == after[key] for key in both)


@pytest.mark.parametrize(("count", "tests"), [(17, 1), (340, 20), (8, 0)])
def test_small_classes_are_parted_in_the_same_proportion(count, tests, tmp_path):
    drawn = Counter(splits(tree(tmp_path, *videos(count))).values())
    assert (drawn["test"], drawn["train"]) == (tests, count - tests)


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("VEGAS/baby_cry/videos/video_00000.mp4", "baby_cry/video_00000"),
        ("Rail Transport/a.b.webm", "rail_transport/a%2Eb"),
        ("drum/train/x.mp4", "drum/x"),
        ("rain/videos/x.mp4", "rain/x"),
        ("x.mp4", "unnamed/x"),
    ],
)
def test_a_video_is_of_the_class_in_whose_folder_it_lies(name, key, tmp_path):
    assert list(splits(tree(tmp_path, name))) == [key]


def test_one_class_alone_may_be_the_folder(tmp_path):
    assert list(splits(tree(tmp_path / "dog", "videos/x.mp4"))) == ["dog/x"]


def test_what_the_lists_count_and_is_not_there_is_missing(tmp_path):
    tree(tmp_path, *videos(3), *videos(2, "drum"), "dog/again/video_00001.mkv")
    (tmp_path / "dog/video_info.csv").write_text("YTID,start_second,end_second\n" + "x,0,9\n" * 5)
    listing = list_clips(Layout.VEGAS, tmp_path)
    assert listing.named == 7
    assert listing.missing == ("dog/video_00003", "dog/video_00004")
    assert listing.remarks[1:] == ("Left out: 1 video with the name of another.",)
    drums = list_clips(Layout.VEGAS, tmp_path, classes=["drum"])
    assert (len(drums.clips), drums.named) == (2, 2)
