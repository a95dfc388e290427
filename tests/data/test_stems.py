"""A user's own files: every video is taken, and pictures find their sounds, dots and all."""

import pytest
from trees import tree

from s2s_cli.choices import Layout
from s2s_cli.data.layouts import list_clips


def keys(listing):
    return [clip.key for clip in listing.clips]


def test_every_video_below_a_folder_is_a_clip_of_its_sub_folder(tmp_path):
    tree(
        tmp_path,
        *("top.mp4", "rain/a.mp4", "rain/part 1/a.MP4", "rain/a.mov", "rain/a.mov.mp4"),
        *("snow/my.walk.v2.mkv", "snow/-x.webm"),
        *("rain/notes.txt", "rain/.a.mp4", ".cache/b.mp4", "rain/b.mp4.part", "rain/c.jpg"),
    )
    (tmp_path / "folder.mp4").mkdir()
    (tmp_path / "rain/gone.mp4").symlink_to(tmp_path / "nowhere.mp4")
    listing = list_clips(Layout.FOLDER, tmp_path)
    assert keys(listing) == [
        "rain/a",
        "rain/a%2Emov",
        "rain/a%2Emov%2Emp4",
        "rain/part%201%2Fa%2EMP4",
        "snow/-x%2Ewebm",
        "snow/my%2Ewalk%2Ev2%2Emkv",
        "unnamed/top",
    ]
    assert listing.clips[0].video == tmp_path / "rain/a.mp4"
    assert {(c.start_s, c.seconds, c.photo, c.moments_s) for c in listing.clips} == {
        (0.0, None, None, ())
    }
    assert (listing.named, listing.missing, listing.remarks) == (7, (), ())
    assert keys(list_clips(Layout.FOLDER, tmp_path, classes=["snow"])) == keys(listing)[4:6]


def test_links_are_followed_once_and_never_in_a_circle(tmp_path):
    tree(tmp_path / "disk", "a.mp4")
    (tmp_path / "videos").mkdir()
    for name in ("rain", "snow"):
        (tmp_path / "videos" / name).symlink_to(tmp_path / "disk")
    (tmp_path / "disk/back").symlink_to(tmp_path / "videos")
    (tmp_path / "disk/self").symlink_to(tmp_path / "disk/self")
    assert keys(list_clips(Layout.FOLDER, tmp_path / "videos")) == ["rain/a"]


def test_a_new_name_changes_no_key(tmp_path):
    before = keys(list_clips(Layout.FOLDER, tree(tmp_path, "rain/walk.mp4", "rain/take.mov")))
    after = keys(list_clips(Layout.FOLDER, tree(tmp_path, "rain/walk.mov", "rain/take.mp4")))
    assert set(before) < set(after)
    assert len(after) == 4


@pytest.mark.parametrize(
    "names",
    [
        [f"{'ab'[n % 2]}/--0PQM4-hqg_{n:06d}.mp4" for n in range(20)],
        [f"{'ab'[n % 2]}/hike.v1_clip{n}.mp4" for n in range(20)],
        [f"a/hike.{end}" for end in ("mp4", "mov", "mkv", "avi")],
    ],
)
def test_pieces_of_one_video_are_never_parted(names, tmp_path):
    tree(tmp_path, *names)
    seen = set()
    for seed in range(30):
        listing = list_clips(Layout.FOLDER, tmp_path, seed=seed, val_share=0.5)
        assert len(listing.clips) == len(names)
        (split,) = {clip.split for clip in listing.clips}
        seen.add(split)
    assert seen == {"train", "val"}


def test_pictures_find_their_sounds_dots_included(tmp_path):
    tree(
        tmp_path,
        *("images/my.walk.v2.jpg", "images/my.walk.v1.png", "images/snow/a.webp"),
        *("images/only.jpg", "images/my.walk.v2.txt", "elsewhere/b.jpg", "b.wav"),
        *("audios/my.walk.v2.wav", "audios/my.walk.v1.flac", "audios/snow/a.MP3"),
        *("audios/alone.wav", "audios/images/only.wav"),
    )
    listing = list_clips(Layout.PAIRS, tmp_path)
    assert [(c.key, c.video.name, c.photo.name) for c in listing.clips] == [
        ("snow/a", "a.MP3", "a.webp"),
        ("unnamed/my%2Ewalk%2Ev1", "my.walk.v1.flac", "my.walk.v1.png"),
        ("unnamed/my%2Ewalk%2Ev2", "my.walk.v2.wav", "my.walk.v2.jpg"),
    ]
    assert listing.named == 6
    assert listing.missing == ("alone", "images/only", "only")


def test_of_two_pictures_with_one_name_the_first_is_taken_and_it_is_told(tmp_path):
    tree(tmp_path, "images/a.png", "images/a.jpg", "audios/a.wav", "audios/a.mp3", "audios/a.ogg")
    listing = list_clips(Layout.PAIRS, tmp_path)
    assert [(c.video.name, c.photo.name) for c in listing.clips] == [("a.mp3", "a.jpg")]
    assert listing.remarks == ("Left out: 3 files with the name of another.",)


def test_the_authors_samples_of_one_video_share_a_split(tmp_path):
    """Named as in samples/training of github.com/postech-ami/Sound2Scene."""
    names = [f"XvuoIqLqMng_{start}_{start + 10_000}" for start in range(0, 90_000, 10_000)]
    tree(tmp_path, *(f"images/{n}.jpg" for n in names), *(f"audios/{n}.wav" for n in names))
    for seed in range(9):
        listing = list_clips(Layout.PAIRS, tmp_path, seed=seed, val_share=0.5)
        assert len({clip.split for clip in listing.clips}) == 1
