"""A data set's folder is read the same in any order, by any seed's draw, with anything in it."""

import os
import random
from pathlib import Path
from urllib.parse import unquote

import pytest
from shell import installed_s2s
from trees import film, tree
from videos import barcode, write_video

from s2s_cli.choices import Layout
from s2s_cli.data.layouts import (
    LONGEST_S,
    USUAL,
    counted,
    drawn,
    duration_s,
    key_of,
    list_clips,
    pieces,
    read_classes,
    read_csv,
    whole_video,
)
from s2s_cli.errors import DataError


def splits(listing):
    return {clip.key: clip.split for clip in listing.clips}


def a_folder_of(layout, root):
    """Something of everything, some of it twice."""
    if layout is Layout.VGGSOUND:
        ids = [f"{number:011d}" for number in range(8)]
        lines = [f"{name},30,dog barking,{'test' if name > ids[5] else 'train'}" for name in ids]
        (tree(root) / "vggsound.csv").write_text("\n".join(lines))
        tree(root, *(f"a/{name}_000030.mp4" for name in ids[1:]), f"b/{ids[2]}_30.mkv")
    if layout is Layout.VEGAS:
        tree(root, *(f"{c}/videos/video_{n:05d}.mp4" for c in ("dog", "drum") for n in range(30)))
        tree(root, "dog/more/video_00007.mp4")
    if layout is Layout.INTO_THE_WILD:
        tree(root, *(f"{video}_clip{n}.mp4" for video in ("walk", "hike") for n in range(1, 12)))
        tree(root, "again/walk_clip3.mp4")
    if layout is Layout.GREATEST_HITS:
        for video in ("2015-02-16-16-49-06", "2015-10-03-13-39-43-1"):
            film(root / f"x/{video}_denoised.mp4", 9)
            (root / f"{video}_times.txt").write_text("1.5 leaf hit static\n")
        tree(root, "y/2015-02-16-16-49-06_mic.mp4")
    if layout is Layout.PAIRS:
        tree(root, *(f"images/rain/{n}.{end}" for n in range(9) for end in ("jpg", "png")))
        tree(root, *(f"audios/rain/{n}.wav" for n in range(9)))
    if layout is Layout.FOLDER:
        tree(root, "a.mp4", "rain/a.mov", "rain/a.mp4", "rain/deep/b.webm", "snow/c.mp4")
        (root / "link").symlink_to(root / "rain")
        (root / "rain/circle").symlink_to(root)
    return root


@pytest.mark.parametrize("layout", list(Layout))
def test_the_order_in_which_a_disk_gives_its_files_changes_nothing(layout, tmp_path, monkeypatch):
    folder = a_folder_of(layout, tmp_path / "videos")
    listing = list_clips(layout, folder, seed=1, val_share=0.3)
    assert [clip.key for clip in listing.clips] == sorted({clip.key for clip in listing.clips})
    walk = os.walk
    for seed in range(4):
        chance = random.Random(seed)

        def shuffled(*given, chance=chance, **named):
            for here, folders, names in walk(*given, **named):
                chance.shuffle(folders)
                chance.shuffle(names)
                yield here, folders, names

        monkeypatch.setattr(os, "walk", shuffled)
        assert list_clips(layout, folder, seed=1, val_share=0.3) == listing


@pytest.mark.parametrize("layout", [Layout.FOLDER, Layout.PAIRS])
def test_a_new_video_moves_no_other_and_another_seed_moves_some(layout, tmp_path):
    def folder(count):
        root = tmp_path / str(count)
        if layout is Layout.FOLDER:
            return tree(root, *(f"rain/{n}.mp4" for n in range(count)))
        tree(root, *(f"images/{n}.jpg" for n in range(count)))
        return tree(root, *(f"audios/{n}.wav" for n in range(count)))

    before, after = folder(300), folder(301)
    old, new = (splits(list_clips(layout, root, val_share=0.2)) for root in (before, after))
    assert old.items() < new.items()
    assert 0.1 < list(old.values()).count("val") / 300 < 0.3
    assert splits(list_clips(layout, before, val_share=0.2, seed=1)) != old
    larger = splits(list_clips(layout, before, val_share=0.4))
    assert {key for key in old if old[key] == "val"} < {k for k in old if larger[k] == "val"}
    assert set(splits(list_clips(layout, before, val_share=0)).values()) == {"train"}


def test_draws_are_even_and_follow_from_the_names_alone():
    draws = [drawn(0, "val", number) for number in range(4000)]
    assert sum(draws) / 4000 == pytest.approx(0.5, abs=0.02)
    assert sum(draw < 0.1 for draw in draws) / 4000 == pytest.approx(0.1, abs=0.02)
    assert draws[:2] == [drawn(0, "val", 0), drawn(0, "val", 1)]
    # As `printf 0/val/0 | sha256sum` begins.
    assert draws[0] == 0x51C63FF2EF1F / 2**48
    assert all(0 <= draw < 1 for draw in draws)


def test_keys_hold_no_dot_and_no_blank_and_the_names_can_be_had_back():
    names = [
        "my.walk.v2",
        "my-walk-v2",
        "my walk v2",
        "a/b",
        "a%2Fb",
        "Wörld",
        "日本",
        "-ID_x",
        "~",
    ]
    keys = [key_of("a scene.x", name) for name in names]
    assert len(set(keys)) == len(names)
    for key, name in zip(keys, names, strict=True):
        assert not {".", " "} & set(key)
        assert [unquote(part) for part in key.split("/")] == ["a scene.x", name]
    assert key_of("dog", "--0PQM4-hqg_000030") == "dog/--0PQM4-hqg_000030"
    assert key_of("dog", os.fsdecode(b"\xff")) == "dog/%FF"


@pytest.mark.parametrize(
    ("name", "whole"),
    [
        ("--0PQM4-hqg_000030", "--0PQM4-hqg"),
        ("_x_y_z_1_2__25000_35000", "_x_y_z_1_2_"),
        ("hike.in.snow_clip12", "hike.in.snow"),
        ("IMG_0001", "IMG_0001"),
        ("IMG_20210101_123456", "IMG_20210101_123456"),
        ("take_2", "take_2"),
    ],
)
def test_pieces_of_one_video_are_known_by_their_names(name, whole):
    assert whole_video(name) == whole


def test_a_video_is_cut_into_equal_pieces_and_a_small_rest_is_dropped(tmp_path):
    video = film(tmp_path / "seven.mp4", 7)
    assert duration_s(video) == pytest.approx(7)
    assert [(p.number, p.start_s, p.seconds) for p in pieces(video, 3.0)] == [
        (1, 0.0, 3.0),
        (2, 3.0, 3.0),
    ]
    assert [p.seconds for p in pieces(video, 4.0)] == [4.0, pytest.approx(3)]
    assert [p.seconds for p in pieces(video, 30.0)] == [pytest.approx(7)]
    write_video(tmp_path / "long.mkv", [barcode(0), barcode(1)], times_s=[0, LONGEST_S + 1])
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "list.mp4").write_text(f"#EXTM3U\n#EXTINF:7,\n{video}\n")
    assert [
        duration_s(tmp_path / name) for name in ("long.mkv", "empty.mp4", "list.mp4", "no")
    ] == [None] * 4


@pytest.mark.parametrize("layout", list(Layout))
def test_nothing_to_be_found_is_a_sentence_that_says_what_and_where(layout, tmp_path):
    tree(tmp_path / "empty", "notes.txt", ".hidden.mp4", "ID.mp4.part")
    if layout is Layout.VGGSOUND:
        (tmp_path / "vggsound.csv").write_text("--0PQM4-hqg,30,dog barking,train\n")
    with pytest.raises(DataError, match=rf"(?s)There are no {USUAL[layout].holds} below '.*empty'"):
        list_clips(layout, tmp_path / "empty")
    with pytest.raises(DataError, match=r"There is no folder '.*gone'"):
        list_clips(layout, tmp_path / "gone")


def test_a_table_is_a_file_and_belongs_to_a_layout_with_one(tmp_path):
    with pytest.raises(DataError, match=r"--layout folder reads no table: leave 'a\.csv' out"):
        list_clips(Layout.FOLDER, tree(tmp_path, "a.mp4"), table=Path("a.csv"))
    with pytest.raises(DataError, match=r"There is no file '.*b\.xlsx': name the metadata\.xlsx"):
        list_clips(Layout.INTO_THE_WILD, tmp_path, table=tmp_path / "b.xlsx")


def test_annotations_belong_to_vggsound(tmp_path):
    with pytest.raises(DataError, match=r"'a\.json' is about clips of VGGSound: .*vggsound"):
        list_clips(Layout.FOLDER, tree(tmp_path, "a.mp4"), annotations=Path("a.json"))


@pytest.mark.parametrize("wrong", [{"val_share": 1.0}, {"val_share": -0.1}, {"seconds": 0.0}])
def test_shares_and_lengths_out_of_range_are_refused(wrong, tmp_path):
    with pytest.raises(ValueError, match="expected 0 <= val_share < 1 and seconds > 0"):
        list_clips(Layout.FOLDER, tree(tmp_path, "a.mp4"), **wrong)


def test_closed_folders_are_told_and_do_not_stop_the_rest(tmp_path, monkeypatch):
    tree(tmp_path, "rain/a.mp4", "locked/b.mp4")
    scandir = os.scandir

    def closed(path):
        if str(path).endswith("locked"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", closed)  # a superuser may look into all
    listing = list_clips(Layout.FOLDER, tmp_path)
    assert [clip.key for clip in listing.clips] == ["rain/a"]
    assert listing.remarks == (
        f"Left out: 1 folder that may not be looked into, such as '{tmp_path / 'locked'}'.",
    )


@pytest.mark.parametrize("mode", [0o000, 0o444])  # closed; listed, but nothing in it opened
@pytest.mark.parametrize("layout", [Layout.FOLDER, Layout.VGGSOUND])
def test_a_closed_folder_of_videos_is_told_as_one(layout, mode, tmp_path):
    tree(tmp_path, "videos/rain/a.mp4")
    (tmp_path / "videos").chmod(mode)
    said = installed_s2s("pairs", "videos", "-o", "out", "--layout", layout, cwd=tmp_path)
    (tmp_path / "videos").chmod(0o700)
    assert (said.returncode, said.stdout) == (1, "")
    assert said.stderr == "error: 'videos' may not be looked into: check its permissions.\n"
    assert [path.name for path in tmp_path.iterdir()] == ["videos"]


@pytest.mark.parametrize("mode", [0o000, 0o444])
def test_where_all_that_there_may_be_is_closed_the_permissions_are_told(mode, tmp_path):
    tree(tmp_path, "videos/rain/a.mp4", "videos/notes.txt")
    (tmp_path / "videos" / "rain").chmod(mode)
    said = installed_s2s("pairs", "videos", "-o", "out", cwd=tmp_path)
    (tmp_path / "videos" / "rain").chmod(0o700)
    assert said.returncode == 1
    assert said.stderr == (
        "error: There are no videos below 'videos', but 1 folder may not be looked into, "
        "such as 'videos/rain': check its permissions.\n"
    )


def test_classes_are_read_from_a_text_file(tmp_path):
    (tmp_path / "classes.txt").write_text("﻿dog barking\n\n  railroad car, train wagon \r\n")
    assert read_classes(tmp_path / "classes.txt") == {"dog barking", "railroad car, train wagon"}
    (tmp_path / "classes.txt").write_text("\n \n")
    with pytest.raises(DataError, match=r"classes\.txt' names no class"):
        read_classes(tmp_path / "classes.txt")
    with pytest.raises(DataError, match=r"gone' cannot be read \(No such file or directory\)"):
        read_classes(tmp_path / "gone")


def test_a_table_that_is_none_is_refused_in_a_sentence(tmp_path):
    (tmp_path / "table.csv").write_bytes(b"x" * 200_000)
    with pytest.raises(DataError, match=r"table\.csv' is no table of values and commas"):
        read_csv(tmp_path / "table.csv")


def test_clips_that_share_a_key_are_told(tmp_path):
    """Only a folder called 'unnamed' can do it here."""
    listing = list_clips(Layout.FOLDER, tree(tmp_path, "a.mp4", "unnamed/a.mp4"))
    assert [clip.video for clip in listing.clips] == [tmp_path / "a.mp4"]
    assert listing.remarks == ("Left out: 1 clip with the name of another.",)
    assert counted(12_000, "clip") == "12,000 clips"
