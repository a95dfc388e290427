"""VGGSound: files find their lines in the csv however they are called, and moments their clips."""

import json

import pytest
from trees import film, tree

from s2s_cli.choices import Layout
from s2s_cli.data.layouts import list_clips
from s2s_cli.data.vggsound import SOUND2SCENE_CLASSES, read_moments
from s2s_cli.errors import DataError

CSV = """\
--0PQM4-hqg,30,waterfall burbling,train
_-x_1234567,0,"railroad car, train wagon",test
B5KE79I2f-A,188,hail,train
B5KE79I2f-A,220,hail,train
abcdefghijk,30,playing erhu,train
zzzzzzzzzzz,7,skiing,train
"""


@pytest.fixture
def folder(tmp_path):
    (tree(tmp_path) / "vggsound.csv").write_text(CSV)
    return tmp_path


def found(listing):
    return {clip.key: (clip.video.name, clip.start_s) for clip in listing.clips}


def test_the_classes_are_the_fifty_of_sound2scene():
    assert len(SOUND2SCENE_CLASSES) == 50
    assert {"hail", "ice cream truck, ice cream van", "skiing"} < SOUND2SCENE_CLASSES


def test_the_published_names_are_found_in_any_folder_and_format(folder):
    tree(
        folder,
        *("video/--0PQM4-hqg_000030.mp4", "scratch/00/_-x_1234567_000000.mkv"),
        *("video/B5KE79I2f-A_000220.webm", "video/abcdefghijk_000030.mp4"),
        *("video/B5KE79I2f-A_000999.mp4", "video/notinthecsv_000030.mp4", "video/other.mp4"),
    )
    listing = list_clips(Layout.VGGSOUND, folder, val_share=0)
    assert {clip.key: clip.split for clip in listing.clips} == {
        "hail/B5KE79I2f-A_000220": "train",
        "railroad_car_train_wagon/_-x_1234567_000000": "test",
        "waterfall_burbling/--0PQM4-hqg_000030": "train",
    }
    assert {(clip.start_s, clip.seconds) for clip in listing.clips} == {(0.0, 10.0)}
    assert listing.named == 5
    assert listing.missing == ("B5KE79I2f-A_000188", "zzzzzzzzzzz_000007")


@pytest.mark.parametrize(
    "name",
    [
        "--0PQM4-hqg_30.mp4",
        "--0PQM4-hqg_30_40.mp4",
        "--0PQM4-hqg_30000_40000.mp4",
        "--0PQM4-hqg_30.0_40.0.mp4",
        "--0PQM4-hqg_000030_gt.mp4",
    ],
)
def test_downloaders_names_of_a_clip_mean_the_clip(name, folder):
    listing = list_clips(Layout.VGGSOUND, tree(folder, name))
    assert found(listing) == {"waterfall_burbling/--0PQM4-hqg_000030": (name, 0.0)}


@pytest.mark.parametrize("name", ["B5KE79I2f-A.mp4", "A.. storm! [x] [B5KE79I2f-A].mp4"])
def test_a_whole_video_holds_every_clip_of_it_at_its_place(name, folder):
    assert found(list_clips(Layout.VGGSOUND, tree(folder, name))) == {
        "hail/B5KE79I2f-A_000188": (name, 188.0),
        "hail/B5KE79I2f-A_000220": (name, 220.0),
    }


def test_a_video_that_ends_before_its_clip_begins_is_the_clip(folder):
    film(folder / "--0PQM4-hqg.mp4", 10)
    (clip,) = list_clips(Layout.VGGSOUND, folder).clips
    assert clip.start_s == 0


def test_of_a_clip_and_its_whole_video_the_clip_is_taken(folder):
    tree(folder, "a/--0PQM4-hqg.mp4", "b/--0PQM4-hqg_000030.mp4", "c/--0PQM4-hqg_30.mp4")
    listing = list_clips(Layout.VGGSOUND, folder)
    assert found(listing) == {
        "waterfall_burbling/--0PQM4-hqg_000030": ("--0PQM4-hqg_000030.mp4", 0.0)
    }
    assert listing.remarks == ("Left out: 2 clips with the name of another.",)


def test_clips_of_one_video_are_never_parted_and_test_stays_test(folder):
    names = [f"B5KE79I2f-A_{start:06d}" for start in (188, 220)]
    tree(folder, *(f"{name}.mp4" for name in names), "_-x_1234567_000000.mp4")
    seen = set()
    for seed in range(20):
        listing = list_clips(Layout.VGGSOUND, folder, seed=seed, val_share=0.5)
        splits = {clip.key: clip.split for clip in listing.clips}
        assert splits.pop("railroad_car_train_wagon/_-x_1234567_000000") == "test"
        (split,) = set(splits.values())
        seen.add(split)
    assert seen == {"train", "val"}


def test_other_classes_are_had_by_name_and_all_by_naming_none(folder):
    tree(folder, "abcdefghijk_000030.mp4", "--0PQM4-hqg_000030.mp4")
    erhu = list_clips(Layout.VGGSOUND, folder, classes=["playing erhu", "skiing"])
    assert [clip.key for clip in erhu.clips] == ["playing_erhu/abcdefghijk_000030"]
    assert (erhu.named, erhu.missing) == (2, ("zzzzzzzzzzz_000007",))
    every = list_clips(Layout.VGGSOUND, folder, classes=[])
    assert (len(every.clips), every.named) == (2, 6)
    with pytest.raises(DataError, match="has no class 'playing erhoo': did you mean 'playing erhu"):
        list_clips(Layout.VGGSOUND, folder, classes=["playing erhoo"])


def test_a_fifth_that_is_gone_is_counted_and_the_rest_goes_on(tmp_path):
    ids = [f"{number:011d}" for number in range(100)]
    lines = "".join(f"{name},{n},hail,train\n" for n, name in enumerate(ids))
    (tree(tmp_path, *(f"{ids[n]}_{n:06d}.mp4" for n in range(80))) / "vggsound.csv").write_text(
        lines
    )
    listing = list_clips(Layout.VGGSOUND, tmp_path)
    assert (len(listing.clips), listing.named, len(listing.missing)) == (80, 100, 20)
    assert listing.missing[0] == "00000000080_000080"


def test_the_csv_may_lie_beside_the_videos_folder_or_be_named(folder):
    tree(folder / "video", "--0PQM4-hqg_000030.mp4")
    (key,) = (clip.key for clip in list_clips(Layout.VGGSOUND, folder / "video").clips)
    (folder / "vggsound.csv").rename(folder / "list.csv")
    with pytest.raises(DataError, match=r"There is no vggsound\.csv in '.*video' or beside it"):
        list_clips(Layout.VGGSOUND, folder / "video")
    named = list_clips(Layout.VGGSOUND, folder / "video", table=folder / "list.csv")
    assert [clip.key for clip in named.clips] == [key]


def test_a_header_and_doubles_are_allowed_and_other_lines_are_not(folder):
    tree(folder, "--0PQM4-hqg_000030.mp4")
    table = folder / "vggsound.csv"
    table.write_text("﻿youtube_id,start,label,split\r\n" + CSV + "\n" + CSV)
    listing = list_clips(Layout.VGGSOUND, folder)
    assert listing.named == 5
    assert listing.remarks == (f"Left out: 6 lines of '{table}' that name a clip again.",)
    for wrong in ("a,b", "--0PQM4-hqg,30,hail,dev", "--0PQM4-hqg,soon,hail,train", "a,inf,b,test"):
        table.write_text(CSV + wrong)
        with pytest.raises(DataError, match=r"Line 7 of '.*vggsound\.csv' is not"):
            list_clips(Layout.VGGSOUND, folder)


README = {
    "9fhhMaXTraI_44000_54000": [47, 46, 45, 23, 42, 9, 44, 56, 27, 17],
    "G_JwMzRLRNo_252000_262000": [2, 1, 26, 29, 15, 16, 11, 3, 14, 23],
}


@pytest.mark.parametrize("content", [README, [{"9fhhMaXTraI_44000_54000": [0.1] * 4}, README]])
def test_moments_are_read_as_the_authors_show_them(content, tmp_path):
    path = tmp_path / "top1_boxes_top10_moments.json"
    path.write_text(json.dumps(content))
    moments = read_moments(path)
    assert moments.keys() == {("9fhhMaXTraI", 44), ("G_JwMzRLRNo", 252)}
    assert moments["G_JwMzRLRNo", 252][:3] == pytest.approx([0.15, 0.05, 2.55])
    assert len(moments["9fhhMaXTraI", 44]) == 10


def test_moments_are_counted_from_the_beginning_of_the_file(folder):
    tree(folder, "cut/B5KE79I2f-A_000188.mp4", "whole/--0PQM4-hqg.mp4", "_-x_1234567_000000.mp4")
    path = folder / "moments.json"
    path.write_text(
        json.dumps({"B5KE79I2f-A_188000_198000": [47, 0], "--0PQM4-hqg_30000_40000": [2]})
    )
    listing = list_clips(Layout.VGGSOUND, folder, annotations=path)
    assert [clip.moments_s for clip in listing.clips] == [
        pytest.approx((4.65, 0.0)),
        (),
        pytest.approx((30.15,)),
    ]
    assert listing.remarks == (f"'{path}' tells moments of 2 of the 2 clips for training.",)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("{", "is not a table of clips and their moments"),
        ("[1]", "is not a table of clips and their moments"),
        ("[" * 100_000, "is not a table of clips and their moments"),
        (f'{{"9fhhMaXTraI_{"4" * 5000}_1": [1]}}', "says"),
        ('"no"', "is not a table of clips and their moments"),
        ('{"video.mp4": [1]}', r"says \[1\] of 'video\.mp4'"),
        ('{"9fhhMaXTraI_44000_54000": [4.5]}', r"says \[4\.5\] of '9fhhMaXTraI_44000_54000'"),
        ('{"9fhhMaXTraI_44000_54000": [true]}', "says"),
        ('{"9fhhMaXTraI_44000_54000": [-1]}', "says"),
        ('{"9fhhMaXTraI_44000_54000": {"a": 1}}', "says"),
    ],
)
def test_other_annotations_are_refused_in_a_sentence(content, says, tmp_path):
    (tmp_path / "moments.json").write_text(content)
    with pytest.raises(DataError, match=says):
        read_moments(tmp_path / "moments.json")
    with pytest.raises(DataError, match="cannot be read"):
        read_moments(tmp_path / "gone.json")
