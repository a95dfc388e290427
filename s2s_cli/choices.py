"""What can be chosen by name, for the command line and for walks alike; imports nothing heavy."""

from enum import StrEnum


class Space(StrEnum):
    """Where sounds meet."""

    WAVE = "wave"  # in the air: their samples are added
    LATENT = "latent"  # in the model: their features are averaged


class Through(StrEnum):
    """By which way a change of volume reaches the model."""

    WAVE = "wave"  # the samples are multiplied, and that is all
    FLOOR = "floor"  # the same, around the level at which half of the sound is too quiet to be seen
    CLIP = "clip"  # the same, from full scale upwards, and what goes beyond is cut off
    FEATURE = "feature"  # the feature itself moves, from that of the quiet sound to the loud one's


class Grid(StrEnum):
    """What the columns of a table are; its rows are gains of the first sound."""

    VOLUME = "volume"  # gains of the second sound
    RATIO = "ratio"  # shares of the second sound, and the rows are gains of both


class Curve(StrEnum):
    """How a passage runs from one feature to the next."""

    LINEAR = "linear"  # straight through the sphere
    SPHERICAL = "spherical"  # along its surface, at an even pace


class Blend(StrEnum):
    """How an edit returns into the photo."""

    NONE = "none"  # not at all: it is the painting, in the photo's aspect
    LOW = "low"  # the change is added to the whole photo, without its finest detail
    MASK = "mask"  # the painting takes over where it changed most; elsewhere the photo's own bytes


class Along(StrEnum):
    """What changes from place to place while a photo is restyled."""

    GAIN = "gain"  # of the sound, in dB
    RATIO = "ratio"  # the share of a second sound


class Layout(StrEnum):
    """How a data set of videos lies on disk."""

    FOLDER = "folder"  # any folder of videos
    VGGSOUND = "vggsound"
    VEGAS = "vegas"
    INTO_THE_WILD = "into-the-wild"
    GREATEST_HITS = "greatest-hits"
    PAIRS = "pairs"  # pictures and sounds that are matched already, by name


class Select(StrEnum):
    """Which moments of a clip become frames."""

    LOCALISER = "localiser"  # those at which picture and sound agree best, as a network tells
    MIDDLE = "middle"  # the one in the middle
    EVEN = "even"  # spread evenly
    ANNOTATED = "annotated"  # those that the data set tells


class Kind(StrEnum):
    """What a study asks of people."""

    PREFERENCE = "preference"  # all pictures that illustrate the sound (Sound2Scene, study i)
    MATCH = "match"  # the one picture that best illustrates it (Sound2Scene, study ii)
    RANKING = "ranking"  # the pictures of all methods, best first (avstyle, appendix A.3)
