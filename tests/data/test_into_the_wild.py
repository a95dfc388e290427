"""Into the Wild: listed hikes are found and cut, and the paper's fifth is kept for testing."""

import sys

import pytest
from trees import film, tree

from s2s_cli.choices import Layout
from s2s_cli.data.into_the_wild import read_table
from s2s_cli.data.layouts import list_clips
from s2s_cli.errors import DataError

ROWS = [
    ["No", "Title", "Youtube ID", "Snow", "Forest", "Rain", "Duration"],
    [1, "Mountaineer", "--abcdefghi", 1, None, None, "00:21:00"],
    [2, "Walk", "https://www.youtube.com/watch?v=_ab-defghij&t=1s", None, 1, 1, "01:00:00"],
    [3, "Hike", "https://youtu.be/zzzzzzzzzzz", 0, "no", "", "02:10:00"],
]


@pytest.fixture
def folder(tmp_path):
    lines = [",".join("" if cell is None else str(cell) for cell in row) for row in ROWS]
    (tree(tmp_path) / "metadata.csv").write_text("\n".join(lines))
    return tmp_path


def test_the_table_tells_videos_and_scenes_wherever_its_columns_stand(tmp_path):
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.Workbook()
    for row in ROWS:
        book.active.append(row)
    book.save(tmp_path / "metadata.xlsx")
    assert read_table(tmp_path / "metadata.xlsx") == {
        "--abcdefghi": "snow",
        "_ab-defghij": "rain",
        "zzzzzzzzzzz": "unnamed",
    }


def test_a_table_saved_as_text_is_read_too(folder):
    assert list(read_table(folder / "metadata.csv").values()) == ["snow", "rain", "unnamed"]


def test_without_its_library_a_table_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "openpyxl", None)
    tree(tmp_path, "metadata.xlsx", "a.mp4")
    with pytest.raises(DataError, match=r"needs openpyxl: .*pip install \"s2s-cli\[train\]\"'"):
        list_clips(Layout.INTO_THE_WILD, tmp_path)


def test_a_table_that_is_none_is_refused_in_a_sentence(tmp_path):
    pytest.importorskip("openpyxl")
    (tmp_path / "metadata.xlsx").write_text("no table")
    with pytest.raises(DataError, match=r"metadata\.xlsx' cannot be read as a table"):
        read_table(tmp_path / "metadata.xlsx")


@pytest.mark.parametrize("text", ["", "No,Title\n", "No,Title\n1,Walk\n"])
def test_a_table_without_videos_is_refused_in_a_sentence(text, tmp_path):
    (tmp_path / "metadata.csv").write_text(text)
    with pytest.raises(DataError, match="has no column of YouTube's names of videos"):
        read_table(tmp_path / "metadata.csv")


def test_whole_videos_are_cut_into_three_seconds(folder):
    film(folder / "youtube/Winter. hike [--abcdefghi].mp4", 10)
    film(folder / "youtube/Walk-_ab-defghij.mp4", 3)
    tree(folder, "youtube/notlisted00.mp4", "youtube/--abcdefghi_clip1.mp4")
    listing = list_clips(Layout.INTO_THE_WILD, folder)
    assert [(c.key, c.start_s, c.seconds) for c in listing.clips] == [
        ("rain/_ab-defghij_clip00001", 0.0, 3.0),
        ("snow/--abcdefghi_clip00001", 0.0, 3.0),
        ("snow/--abcdefghi_clip00002", 3.0, 3.0),
        ("snow/--abcdefghi_clip00003", 6.0, 3.0),
    ]
    assert (listing.named, listing.missing) == (3, ("zzzzzzzzzzz",))
    assert listing.remarks[1:] == (
        f"Left out: 1 video that '{folder / 'metadata.csv'}' does not name.",
    )
    longer = list_clips(Layout.INTO_THE_WILD, folder, seconds=5.0)
    assert [c.start_s for c in longer.clips] == [0.0, 0.0, 5.0]
    snow = list_clips(Layout.INTO_THE_WILD, folder, classes=["snow"])
    assert (len(snow.clips), snow.named) == (3, 1)


def test_a_broken_video_is_left_out_and_told(folder):
    film(folder / "--abcdefghi.mp4", 3)
    tree(folder, "zzzzzzzzzzz.mp4")
    listing = list_clips(Layout.INTO_THE_WILD, folder)
    assert len(listing.clips) == 1
    assert listing.missing == ("_ab-defghij",)
    assert listing.remarks[1:] == ("Left out: 1 video that cannot be opened.",)


def test_videos_cut_by_the_authors_script_have_the_same_keys_and_splits(tmp_path):
    film(tmp_path / "whole/walk.mp4", 30)
    tree(tmp_path / "cut", *(f"youtube_chunk/walk_clip{number}.mp4" for number in range(1, 11)))
    whole, cut = (
        list_clips(Layout.INTO_THE_WILD, tmp_path / name, seed=3) for name in ("whole", "cut")
    )
    assert [(c.key, c.split) for c in whole.clips] == [(c.key, c.split) for c in cut.clips]
    assert [c.video.name for c in cut.clips][8:] == ["walk_clip9.mp4", "walk_clip10.mp4"]
    assert {(c.start_s, c.seconds) for c in cut.clips} == {(0.0, 3.0)}
    assert (cut.named, cut.clips[0].key) == (1, "unnamed/walk_clip00001")


def test_a_fifth_of_the_clips_is_for_testing_and_validation_is_whole_videos(tmp_path):
    names = [f"hike.{v}_clip{number}.mp4" for v in range(20) for number in range(1, 101)]
    listing = list_clips(Layout.INTO_THE_WILD, tree(tmp_path, *names), val_share=0.3)
    tests = [clip for clip in listing.clips if clip.split == "test"]
    assert len(tests) / len(listing.clips) == pytest.approx(0.2, abs=0.03)
    others = {(c.key.split("_clip")[0], c.split) for c in listing.clips if c.split != "test"}
    assert len(others) == 20
    assert {split for _, split in others} == {"train", "val"}
    assert "A fifth of the clips were drawn for testing" in listing.remarks[0]


def test_the_authors_lists_tell_what_is_trained_on(folder):
    film(folder / "--abcdefghi.mp4", 18)
    lines = [f"datasets/x/--abcdefghi_clip{n}-{k}.jpg" for n in (1, 2) for k in range(1, 9)]
    (folder / "trainA.txt").write_text("\n".join(lines))
    drawn = list_clips(Layout.INTO_THE_WILD, folder, val_share=0)
    assert "A fifth" in drawn.remarks[0]  # one list alone tells nothing
    (folder / "trainB.txt").write_text("a/b/--abcdefghi_clip4-3.jpg\n")
    listing = list_clips(Layout.INTO_THE_WILD, folder, val_share=0)
    assert [clip.split for clip in listing.clips] == ["train", "train", "test", "train"] + [
        "test"
    ] * 2
    assert listing.remarks[0].startswith("trainA.txt and trainB.txt tell")
    longer = list_clips(Layout.INTO_THE_WILD, folder, val_share=0, seconds=6.0)
    assert [clip.split for clip in longer.clips] == ["train", "test", "test"]
