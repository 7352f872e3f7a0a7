"""What the two other scripts stand on: the data, a photograph as the network sees it, running a script.

The chapter uses this module and does not print it, but for its first listing, "look at
the data", which is `main`:

    python EmotionDetectorUtils.py [--data_dir=EmotionDetector/]
"""
import sys

if sys.version_info < (3, 10):  # noqa: UP036
    sys.exit(f"Error: Python 3.10 or newer is needed, and this is {sys.version.split()[0]}.")

import collections
import contextlib
import faulthandler
import gc
import glob
import hashlib
import importlib
import itertools
import logging
import os
import re
import signal
import threading
import warnings

try:
    import numpy as np
    from absl import app, flags
    from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError
except ImportError as error:  # another Python than the one that everything was installed for
    sys.exit(f"Error: {error} for {sys.executable}: pip install -r requirements.txt.")

FLAGS = flags.FLAGS
EMOTIONS = ("anger", "disgust", "fear", "happy", "sad", "surprise", "neutral")
# The data is cut by these; EmotionDetector.py has the same three, where the book has them
IMAGE_SIZE = 48  # pixels, both ways
NUM_LABELS = len(EMOTIONS)
VALIDATION_PERCENT = 0.1  # the share of train.csv that is kept for validation

DATA_DIR = "EmotionDetector/"
PRACTICE_FACES = "practice faces"
GET_DATA = ("Get train.csv and test.csv from https://github.com/PacktPublishing/Deep-Learning-with-"
            "TensorFlow-Second-Edition (Chapter04/Emotions/EmotionDetector), the book's repository, "
            "or from https://inclass.kaggle.com/c/facial-keypoints-detector/data.")
MAX_PIXELS = 250_000_000  # of a photograph
FILE_BACKENDS = ("agg", "cairo", "pdf", "pgf", "ps", "svg", "template")  # matplotlib's without a window
INTERACTIVE = hasattr(sys, "ps1") or sys.flags.interactive  # a notebook, IPython, python -i


class UserError(Exception):
    """A fault that the user can mend; its text is the one sentence that they see."""


def warn(sentence):
    """Print a sentence on standard error; the program goes on."""
    print(sentence, file=sys.stderr)


# The data files. The chapter calls read_data and does not print it.
def read_data(data_dir):
    """Read the faces of a folder and split off the validation set, as the chapter calls it.

    The folder holds `train.csv` (columns Emotion and Pixels) and perhaps `test.csv` (Pixels);
    for `DATA_DIR` with nothing in it the practice faces are drawn. Returns train_images,
    train_labels, valid_images, valid_labels, test_images: images float32 [n, 48, 48, 1] in
    0..1, labels float32 one-hot [n, 7]. Raises a UserError for a missing or damaged file.
    """
    path = find_data(data_dir)
    if path:
        labels, pixels, usages = read_csv(path, {"emotion", "pixels"})
    else:
        warn(f"No train.csv in {os.path.abspath(data_dir)}: practising on drawn faces. A model "
             f"trained on them knows nothing of photographs. {GET_DATA}")
        (labels, pixels), usages = draw_faces(4178, seed=0), None
    if usages is not None:  # fer2013.csv holds its test set, too
        training = training_rows(path, usages)
        if not all(training):
            warn(f"{path}: rows left out because their Usage is not Training: {sum(~training)}.")
        labels, pixels = labels[training], pixels[training]
    labels = np.eye(NUM_LABELS, dtype=np.float32)[labels]
    order = np.random.RandomState(0).permutation(len(labels))
    size = int(len(labels) * VALIDATION_PERCENT)
    valid, train = order[:size], order[size:]
    if not size:
        raise UserError(f"{path} holds {len(labels)} faces to train on, expected at least 10, so "
                        "that one in ten can be kept for validation.")
    return (to_images(pixels[train]), labels[train], to_images(pixels[valid]), labels[valid],
            to_images(read_test_set(data_dir)[1]))


def read_test_set(data_dir):
    """Return the test set's labels [n], None unless each face has one, and its pixels [n, 2304]."""
    path = find_data(data_dir)
    if not path:
        return draw_faces(1312, seed=1)
    path = os.path.join(os.path.dirname(path), "test.csv")
    if not os.path.lexists(path):
        return None, np.empty((0, IMAGE_SIZE * IMAGE_SIZE), np.uint8)
    return read_csv(path, {"pixels"})[:2]


def data_fingerprint(data_dir):
    """Return what identifies the data of `read_data`: a digest of train.csv, or `PRACTICE_FACES`."""
    path = find_data(data_dir)
    if not path:
        return PRACTICE_FACES
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        for block in iter(lambda: file.read(1 << 20), b""):
            digest.update(block)
    return f"sha256:{digest.hexdigest()}"


def to_images(pixels):
    """Turn pixels [n, 2304] in 0..255 into the network's images float32 [n, 48, 48, 1] in 0..1."""
    return np.divide(pixels, 255, dtype=np.float32).reshape(-1, IMAGE_SIZE, IMAGE_SIZE, 1)


def find_data(data_dir):
    """Return the path of train.csv; None where the default folder is absent, or holds nothing."""
    path = os.path.join(os.path.abspath(data_dir), "train.csv")
    if os.path.exists(path):
        return path
    if os.path.isfile(data_dir):
        raise UserError(f"{os.path.abspath(data_dir)} is a file: name the folder that holds train.csv, "
                        "with --data_dir.")
    scripts = os.path.dirname(os.path.abspath(__file__))
    holds, beside = (  # but for hidden files, such as .DS_Store
        sorted(map(os.path.basename, glob.glob(os.path.join(glob.escape(folder), "*"))))
        for folder in (data_dir, os.path.join(scripts, DATA_DIR)))
    if not holds and not beside and data_dir == DATA_DIR and (
            "data_dir" not in FLAGS or FLAGS["data_dir"].using_default_value):
        return None
    raise UserError(f"{path} is missing: its folder holds {', '.join(holds[:5]) or 'nothing'}, and "
                    f"{scripts}/{DATA_DIR} {', '.join(beside[:5]) or 'nothing'}. Name the right one "
                    "with --data_dir; unpack what is zipped; make it of fer2013.csv, or of folders of "
                    f"pictures, with EmotionDetectorUtils.py --convert. {GET_DATA}")


def training_rows(path, usages):
    """Return which rows of a file are for training, bool [n], of its column Usage; or raise a UserError."""
    training = np.char.startswith(np.char.lower(usages), "train")
    if not any(training):
        raise UserError(f"{path} holds no face to train on: its column Usage holds "
                        f"{', '.join(sorted(set(usages))[:5])}, expected Training in some rows.")
    return training


def read_csv(path, needed):
    """Read faces as Kaggle writes them; the one place where their rows are checked.

    `needed` are the columns that must be there, of emotion, pixels and usage. Returns labels
    uint8 [n] in 0..6, pixels uint8 [n, 2304], usages str [n]; None for a column that is not
    there. A row that lacks a value is dropped, and counted on standard error. In a test set,
    which needs no emotion, no row is dropped, since the answers are numbered by rows: one without
    pixels is an error, and labels are None unless each row has one.
    """
    pd = load_library("pandas")
    columns, kept, rows = {"emotion": [], "pixels": [], "usage": []}, [], 0

    def column(name):  # pandas calls a second Emotion "Emotion.1"
        return re.sub(r"\.\d+$", "", name).strip().lower()

    try:
        with open(path, "rb") as file, warnings.catch_warnings():
            warnings.filterwarnings("error", "string or file could not", DeprecationWarning)
            # Blank lines count as rows, so that none is lost unseen, but not above the header
            blank = sum(1 for _ in itertools.takewhile(lambda line: not line.strip(), file))
            file.seek(0)
            for chunk in pd.read_csv(
                    file, chunksize=1000, dtype=str, skipinitialspace=True, index_col=False,
                    skip_blank_lines=False, skiprows=blank, encoding_errors="replace",
                    usecols=lambda name: column(name) in columns):
                chunk.columns = [column(name) for name in chunk]
                for name in columns:
                    if name in needed - set(chunk):
                        raise ValueError(f"it has no column {name.title()}")
                    if list(chunk).count(name) > 1:
                        raise UserError(f"{path} has more than one column {name.title()}: remove the "
                                        "wrong one.")
                chunk = chunk.dropna(how="all")  # blank lines at the end are no rows
                rows = max([rows, *chunk.index + 1])
                chunk = chunk.dropna(subset=needed if "emotion" not in needed else None)
                kept += chunk.index.tolist()
                for name, cells in chunk.items():
                    columns[name] += [parse_cell(f"{path}, face {number + 1}", name, cell)
                                      for number, cell in cells.dropna().items()]
        if not rows:
            raise ValueError("no row follows the first line")
    except ValueError as fault:  # pandas', or ours
        raise UserError(f"{path}: {fault}. Expected a CSV file in UTF-8 like Kaggle's: unpack it "
                        "if it is zipped, download it again if it is cut off or a web page.") from fault
    missing = sorted(set(range(rows)) - set(kept))
    if missing and "emotion" not in needed:
        raise UserError(f"{path}, face {missing[0] + 1}: no pixels. Each line after the first must "
                        "hold a face, and none be blank: the answers are numbered by lines.")
    if not kept:
        raise UserError(f"{path}: none of its {rows} rows has a value in each column, expected Emotion "
                        "and Pixels.")
    if missing:
        warn(f"{path}: rows dropped because a value is missing: {len(missing)}.")
    labels, pixels = (np.frombuffer(b"".join(columns[name]), np.uint8) for name in ("emotion", "pixels"))
    return (labels if len(labels) == len(kept) else None, pixels.reshape(-1, IMAGE_SIZE * IMAGE_SIZE),
            np.array(columns["usage"]) if columns["usage"] else None)


def parse_cell(place, name, cell):
    """Return a cell of Emotion or Pixels as bytes, one a number, and one of Usage without spaces around.

    Raises a UserError, which begins with the place, where the numbers are not those of a face.
    """
    if name == "usage":
        return cell.strip()
    size, highest, expected = {
        "emotion": (1, NUM_LABELS - 1, "a label from 0 (anger) to 6 (neutral)"),
        "pixels": (IMAGE_SIZE * IMAGE_SIZE, 255, "48x48 = 2304 whole numbers from 0 to 255")}[name]
    cell = cell.removesuffix(".0")  # as pandas writes 3 where a value is missing
    with contextlib.suppress(ValueError, DeprecationWarning):
        values = np.fromstring(cell, np.int64, sep=" ")
        if len(values) == size and values.min() >= 0 and values.max() <= highest:
            return values.astype(np.uint8).tobytes()
    words = cell.split()
    odd = [word for word in words if not (word.isdecimal() and int(word[:9]) <= highest)]
    fault = repr(odd[0][:20]) if odd else f"{len(words)} values"
    raise UserError(f"{place}: {name.title()} holds {fault}, expected {expected}.")


# Faces to practise on where there is no data.

# How each emotion moves a neutral face, in units of the face's half height.
EXPRESSIONS = np.array((
    # brow lower, its slope, arch; eyes open; mouth down, open, wide; sneer
    (0.07, 0.50, 0.3, 0.75, 0.10, 0.02, 0.22, 0.00),  # anger
    (0.04, 0.25, 0.2, 0.55, 0.12, 0.07, 0.26, 0.32),  # disgust
    (-0.10, -0.45, 0.2, 1.45, 0.04, 0.09, 0.36, 0.00),  # fear
    (-0.01, 0.00, 0.9, 0.80, -0.26, 0.10, 0.42, 0.00),  # happy
    (-0.01, -0.55, 0.0, 0.70, 0.22, 0.00, 0.26, 0.00),  # sad
    (-0.16, 0.00, 1.6, 1.55, -0.02, 0.24, 0.20, 0.00),  # surprise
    (0.00, 0.00, 0.5, 1.00, 0.00, 0.01, 0.30, 0.00),  # neutral
), np.float32)


def draw_faces(count, seed):
    """Draw practice faces: labels uint8 [count] in 0..6, pixels uint8 [count, 2304].

    They are the same on every machine: only sums, products, quotients and square roots of
    float32 take part, whose last bit IEEE 754 fixes; a sine is rounded otherwise elsewhere.
    """
    rng = np.random.RandomState(seed)
    labels = rng.randint(0, NUM_LABELS, count).astype(np.uint8)
    batches = [draw_batch(rng, labels[start:start + 64])  # 64 faces fit a processor's cache
               for start in range(0, count, 64)]
    return labels, np.concatenate(batches).reshape(count, -1)


def draw_batch(rng, labels):
    """Draw one face for each of the labels [n]: uint8 [n, 48, 48]."""
    def uniform(low, high):
        deviates = rng.random_sample((len(labels), 1, 1)).astype(np.float32)
        return np.float32(low) + np.float32(high - low) * deviates

    def paint(shade, inside):
        np.add(image, (shade - image) * inside, out=image)

    brow, slope, arch, eyes, mouth, opening, width, sneer = (
        EXPRESSIONS[labels].T[:, :, None, None] * uniform(0.7, 1.15))
    sneer = sneer * np.sign(uniform(-1, 1))

    # Pose: x and y run from -1 to 1 over the face, whose eyes and brows mirror each other.
    grid = (np.arange(IMAGE_SIZE, dtype=np.float32) - np.float32(23.5)) / 22
    x = (grid[None, None, :] - uniform(-0.1, 0.1)) * uniform(0.9, 1.15)
    y = (grid[None, :, None] - uniform(-0.1, 0.1)) * uniform(0.9, 1.1)
    tilt = uniform(-0.2, 0.2)
    x, y = x + tilt * y, y - tilt * x
    side = np.abs(x)

    # Background, hair, skin
    image = uniform(20, 200) + uniform(-40, 40) * y + np.zeros_like(x)
    skin, jaw = uniform(90, 225), uniform(0.68, 0.78)
    paint(uniform(10, 120), soft_mask(ellipse(x, y + 0.12, jaw + 0.1, 1.02)))
    hairline = uniform(-0.75, -0.6) - 0.2 * x * x
    paint(skin, soft_mask(np.maximum(ellipse(x, y, jaw, 1), hairline - y)))

    # Eyes: socket, white, iris
    across, down = side - 0.31, y + 0.14
    white = soft_mask(ellipse(across, down, 0.16, 0.09 * eyes))
    paint(skin * 0.45, soft_mask(ellipse(across, down, 0.2, 0.09 * eyes + 0.04)))
    paint(skin * 0.3 + 160, white)
    paint(25, white * soft_mask(ellipse(across + uniform(-0.03, 0.03), down, 0.075, 0.08)))

    # Brows, nose, and the folds beside the nose of a sneer
    across = side - 0.33
    line = uniform(-0.39, -0.35) + brow - slope * across + arch * across * across
    paint(skin * uniform(0.15, 0.4), stroke(y - line, uniform(0.025, 0.05), across, 0.2))
    paint(skin * 0.7, stroke(y - 0.2 + 0.5 * side, 0.02, side, 0.11))
    paint(skin * 0.6, stroke(side - 0.14 - 0.6 * y, 0.015, y - 0.18, 0.12) * (sneer != 0))

    # Mouth: lips, what opens between them, and a smile's teeth
    across = x / (width * uniform(0.9, 1.1))
    bow = 1 - across * across
    line = uniform(0.49, 0.55) + mouth * (0.5 - bow) + sneer * x
    gap = np.abs(y - line) - opening * bow
    paint(skin * 0.5, stroke(gap, uniform(0.03, 0.05), side, width))
    inside = soft_mask(np.maximum(gap, side - width)) * (opening > 0.03)
    paint(25, inside)
    paint(225, inside * soft_mask(y - line + 0.2 * opening * bow) * (mouth < -0.1))

    # Light from one side, a blur, noise
    image *= 1 + uniform(-0.3, 0.3) * x
    blur = uniform(0, 0.5)
    for view in image, image.transpose(0, 2, 1):
        view[:, 1:-1] += blur * ((view[:, :-2] + view[:, 2:]) / 2 - view[:, 1:-1])
    noise = rng.randint(-255, 256, image.shape).astype(np.float32)
    image += noise * uniform(0, 0.05)
    return np.clip(image, 0, 255).astype(np.uint8)


def ellipse(x, y, width, height):
    """The distance of points from an ellipse around 0, less than 0 inside."""
    across, down = x / width, y / height
    return (np.sqrt(across * across + down * down) - 1) * height


def stroke(across, thick, along, length):
    """A soft mask of the points near a line, along its length."""
    return soft_mask(np.maximum(np.abs(across) - thick, np.abs(along) - length))


def soft_mask(distance):
    """A soft mask: 1 inside a shape, 0 outside, a pixel and a half between."""
    return np.clip(0.5 - distance * 14, 0, 1)


# One photograph, as the network sees it.
def read_image(path, box=None):
    """Read one photograph as training reads its faces: float32 [48, 48, 1] in 0..1.

    The box is LEFT, TOP, WIDTH, HEIGHT of the face in pixels of the upright photograph;
    None is the largest square in the middle. Raises a UserError where it does not fit.
    """
    picture, size = open_picture(path, "L")
    return shrink(picture, crop_box(path, size, box))


def shrink(picture, box):
    """Return what is in a box of an opened picture as the network's image float32 [48, 48, 1] in 0..1."""
    left, top, width, height = box
    small = picture.resize((IMAGE_SIZE, IMAGE_SIZE), Image.Resampling.HAMMING,
                           box=(left, top, left + width, top + height))
    if small.mode == "RGBA":  # what is transparent lies over white
        small = Image.alpha_composite(Image.new("RGBA", small.size, "white"), small)
    # Pillow's L is the book's 0.299 R + 0.587 G + 0.114 B
    return to_images(np.asarray(small if small.mode == "F" else small.convert("L")))[0]


def open_picture(path, mode, size=None):
    """Open a picture upright, a JPEG file no better than mode and size; image files are checked here.

    Returns a picture of mode L, RGB, RGBA or F, in 0..255, and the file's (width, height).
    """
    # Pillow refuses twice its limit
    limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, MAX_PIXELS // 2
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of odd metadata: what counts is whether there is a picture
            return load_picture(path, mode, size)
    except Exception as error:  # Pillow raises a dozen types
        fault = {
            Image.DecompressionBombError:
                f"it is too large, expected at most {MAX_PIXELS // 1_000_000} million pixels: shrink it",
            UnidentifiedImageError: "it is damaged, or of another kind: save it as JPEG or PNG",
        }.get(type(error), getattr(error, "strerror", None) or error)
        raise UserError(f"{path} cannot be read as a picture ({fault}).") from error
    finally:
        Image.MAX_IMAGE_PIXELS = limit


def load_picture(path, mode, size):
    """Do the work of `open_picture`; raises whatever Pillow raises."""
    # By its name, Pillow 13.0 maps a TIFF file that lies on its side into memory, and mixes up its rows
    with open(path, "rb") as file, Image.open(file) as picture:
        width, height = picture.size
        picture.draft(mode, size)
        lying, orientation = picture.size, None
        picture.load()  # which turns a TIFF file upright by itself
        with contextlib.suppress(Exception):  # damaged EXIF counts as none, as in every viewer
            orientation = picture.getexif().get(ExifTags.Base.Orientation)
            ImageOps.exif_transpose(picture, in_place=True)
    if orientation in (5, 6, 7, 8) or picture.size != lying:  # the file holds it lying on its side
        width, height = height, width
    # Which value is white is known of 8 and of 16 bits; some Pillows open PNG and PGM of 16 bits in mode I
    bits = getattr(picture, "tag_v2", {}).get(ExifTags.Base.BitsPerSample, (16,))  # a TIFF file has 12, too
    if picture.mode == "F" or picture.mode == "I" and picture.format not in ("PNG", "PPM") or (
            picture.mode.startswith("I") and bits != (16,)):
        raise ValueError("which of its values is white is not known: save it with 8 bits")
    if picture.mode.startswith("I"):  # 257 * 255 = 65535
        picture = picture.convert("F").point(lambda value: value / 257)
    mode = {"1": "L", "L": "L", "F": "F"}.get(picture.mode, "RGB")
    mode = "RGBA" if picture.has_transparency_data else mode
    return picture if picture.mode == mode else picture.convert(mode), (width, height)


def crop_box(path, size, box=None):
    """Return left, top, width, height of what is used of a picture of size (width, height)."""
    if box is None:
        side = min(size)
        return (size[0] - side) // 2, (size[1] - side) // 2, side, side
    with contextlib.suppress(ValueError):
        left, top, width, height = map(float, box)
        if 0 <= left <= size[0] - width and 0 <= top <= size[1] - height and min(width, height) >= 8:
            return left, top, width, height
    raise UserError(f"--box={','.join(map(str, box))} does not lie in {path}, which is {size[0]} pixels "
                    f"wide and {size[1]} high: expected LEFT,TOP,WIDTH,HEIGHT in pixels, at least 8 "
                    "wide and high.")


def expand_paths(word):
    """Return the files that a word names: one file, the pictures in a folder, those that match a pattern.

    What is left out is counted on standard error. Raises a UserError where no picture is among them.
    """
    if os.path.isdir(word):
        paths = list_folder(word)
    else:
        paths = [] if os.path.isfile(word) else sorted(glob.glob(word))
        if not paths:
            return [word]
    pictures, others = pick_pictures(paths)
    if not pictures:
        raise UserError(f"{os.path.abspath(word)} holds no picture of a kind that can be read "
                        f"({others or 'it is empty'}): save them as JPEG or PNG, or name their own folder.")
    if others:
        warn(f"{os.path.abspath(word)}: left out: {others}.")
    return pictures


def list_folder(folder):
    """Return the sorted paths of what a folder holds, but for hidden files; or raise an OSError."""
    return [os.path.join(folder, name) for name in sorted(os.listdir(folder)) if not name.startswith(".")]


def pick_pictures(paths):
    """Return the pictures among paths, by their endings, and a count of the rest: "2 .heic, 1 folder"."""
    endings = Image.registered_extensions()
    pictures, others = [], collections.Counter()
    for path in paths:
        ending = os.path.splitext(path)[1].lower()
        if os.path.isfile(path) and endings.get(ending) in Image.OPEN:
            pictures.append(path)
        else:
            others["folder" if os.path.isdir(path) else ending or "without an ending"] += 1
    return pictures, ", ".join(f"{count} {kind}" for kind, count in sorted(others.items()))


# --convert: the data files, made of the forms in which people have faces.
LABELS = {word: label for label, words in enumerate((
    "anger angry", "disgust disgusted", "fear fearful afraid scared", "happy happiness joy",
    "sad sadness", "surprise surprised", "neutral")) for word in words.split()}
TEST_WORDS = {"test", "testing", "val", "valid", "validation", "testset", "publictest", "privatetest"}


def convert(source, data_dir):
    """Write `train.csv`, and where there are faces for it `test.csv`, both with labels.

    The source is a CSV file with a column Usage, or a folder that holds folders of pictures
    named by emotion. Raises a UserError where a label would be a guess, and for a file that is
    there already.
    """
    paths = {True: os.path.join(os.path.abspath(data_dir), "train.csv"),
             False: os.path.join(os.path.abspath(data_dir), "test.csv")}
    there = list(filter(os.path.lexists, paths.values()))
    if there:
        raise UserError(f"{there[0]} is there already, and is not overwritten: name another --data_dir.")
    source = os.path.abspath(source)
    if os.path.isdir(source):
        faces = read_folders(find_folders(source))
    else:
        labels, pixels, usages = read_csv(source, {"emotion", "pixels", "usage"})
        faces = zip(labels, pixels, training_rows(source, usages))
    os.makedirs(data_dir, exist_ok=True)
    files, counts = {}, collections.Counter()
    with contextlib.ExitStack() as both:
        for label, pixels, training in faces:
            if training not in files:
                files[training] = both.enter_context(atomic_write(paths[training]))
                files[training].write(b"Emotion,Pixels\n")
            files[training].write(f"{label},{' '.join(map(str, pixels.tolist()))}\n".encode())
            counts[training] += 1
        if True not in files:
            raise UserError(f"{source}: none of its pictures to train on can be read.")
    for training in sorted(counts, reverse=True):
        print(f"{paths[training]}: {counts[training]} faces")


def find_folders(source):
    """Find the pictures below a folder that is to be converted, and their labels; read none.

    Returns a list of folder, label 0..6, whether it is for training, and its pictures. Raises
    a UserError where the folders' names do not tell the labels for sure.
    """
    found, folders = [], []
    for folder in sorted(walk(source)):
        pictures, others = pick_pictures(path for path in list_folder(folder) if not os.path.isdir(path))
        if others:
            warn(f"{folder}: left out: {others}.")
        # The innermost name comes first; of "3_happy" the word counts
        names = os.path.relpath(folder, source).lower().split(os.sep)[::-1]
        names = [name if name.isdecimal() else name.strip("0123456789-_. ()") for name in names]
        if pictures:
            found.append((folder, names, pictures))
    words = LABELS.keys() & {name for _, names, _ in found for name in names}
    labels = LABELS if words else labels_by_number(source, [names for _, names, _ in found])
    for folder, names, pictures in found:
        label = next((labels[name] for name in names if name in labels), None)
        if label is None:
            warn(f"{folder}: left out: {len(pictures)} pictures, since neither it nor a folder above it is "
                 f"named {', '.join(EMOTIONS[:-1])} or {EMOTIONS[-1]}.")
            continue
        usages = (set(re.findall("[a-z]+", name)) & (TEST_WORDS | {"train", "training"}) for name in names)
        usage = next(filter(None, usages), set())
        folders.append((folder, label, not usage & TEST_WORDS, pictures))
    if not any(training for _, _, training, _ in folders):
        raise UserError(f"{source} holds no face to train on: expected folders of pictures named "
                        f"{', '.join(EMOTIONS)}, and not all of them in a folder named test.")
    return folders


def labels_by_number(source, found):
    """Return {name: label} of the numbers among lists of folder names, as FER2013 numbers emotions.

    Other data sets number them otherwise: a UserError is raised where they do not fit.
    """
    numbers = [[name for name in names if name.isdecimal()] for names in found]
    labels = {name: int(name) for names in numbers for name in names}
    order = ", ".join(f"{label} {emotion}" for label, emotion in enumerate(EMOTIONS))
    if labels and (set(labels.values()) - set(range(NUM_LABELS)) or 0 not in labels.values()
                   or max(map(len, numbers)) > 1):
        raise UserError(f"{source} has folders named {', '.join(sorted(labels))}: these are not numbered "
                        f"as in FER2013 ({order}). Rename each to its emotion in words.")
    if labels:
        warn(f"{source}: the numbers of its folders are read as FER2013's: {order}.")
    return labels


def walk(folder, above=()):
    """Yield a folder and all those below it; links are followed, but never back to a folder above."""
    real = os.path.realpath(folder)
    if real not in above:
        yield folder
        for path in filter(os.path.isdir, list_folder(folder)):
            yield from walk(path, (*above, real))


def read_folders(folders):
    """Read what `find_folders` found: yield label, pixels uint8 [2304], whether for training."""
    for folder, label, training, pictures in folders:
        count = 0
        for path in pictures:
            try:
                pixels = np.rint(read_image(path) * 255).astype(np.uint8).ravel()
            except UserError as error:
                warn(f"Left out: {error}")
                continue
            count += 1
            yield label, pixels, training
        print(f"{folder}: {count} faces, {EMOTIONS[label]}")


# Files and drawings.
@contextlib.contextmanager
def atomic_write(path):
    """Open a binary file whose content replaces `path` at the end, or not at all.

    Where `path` is a link, its target is replaced; standard output, and what is no regular file
    (a pipe, /dev/null), are written into. Raises a UserError where that is not possible.
    """
    target = os.path.realpath(path)
    place = part = f"{target}.{os.getpid()}.part"
    if is_standard_output(path):
        sys.stdout.flush()
        place = os.dup(1)
    elif os.path.exists(path) and not os.path.isfile(path):
        place = path
    try:
        with open(place, "wb") as file:
            yield file
        if place == part:
            os.replace(part, target)
    except (OSError, ValueError) as error:  # no room, or no such format
        raise UserError(f"{os.path.abspath(path)} cannot be written "
                        f"({getattr(error, 'strerror', None) or error}).") from error
    finally:
        with contextlib.suppress(OSError):  # gone already, if all went well
            os.remove(part)


def is_standard_output(path):
    """Return whether a path is what standard output goes to, such as /dev/stdout or the file after `>`."""
    with contextlib.suppress(OSError):  # one of the two is not there
        return os.path.samestat(os.stat(path), os.fstat(1))
    return False


def write_answers(path, columns, probabilities):
    """Write a CSV file, a row for each face: {name: n values}, then probabilities [n, 7]."""
    table = load_library("pandas").DataFrame(columns | dict(zip(EMOTIONS, probabilities.T)))
    with atomic_write(path) as file:
        table.to_csv(file, mode="wb", index=False, errors="surrogateescape")


def load_library(name):
    """Import a library where it is used, and return it; raises a UserError where that fails."""
    try:
        return importlib.import_module(name)
    except Exception as error:  # an ImportError, or what a library that does not fit another one raises
        advice = ": pip install -r requirements.txt" if isinstance(error, ImportError) else ""
        raise UserError(f"{name} cannot be loaded ({' '.join(str(error).split())}){advice}.") from error


def load_pyplot(show):
    """Return matplotlib's pyplot, for a window or for files; raises a UserError where no window opens."""
    logging.getLogger("matplotlib").setLevel(logging.ERROR)  # no word of the fonts it finds
    backend = None
    if not INTERACTIVE:  # a notebook's own stays; here a wrong name must not stop the import
        backend = os.environ.pop("MPLBACKEND", None)
        if not show:
            os.environ["MPLBACKEND"] = "agg"
    plt = load_library("matplotlib.pyplot")
    try:
        if show:
            plt.switch_backend(backend or plt.get_backend())  # which loads it now
            if plt.get_backend().lower().rpartition("backend_")[2] in FILE_BACKENDS:
                raise ImportError(f"{plt.get_backend()} draws into files only; there is no display, or no "
                                  "toolkit such as tkinter, or MPLBACKEND or matplotlibrc names it")
    except (ImportError, ValueError, RuntimeError) as error:
        raise UserError(f"matplotlib cannot open a window ({error}): --figure=FILE.png writes the "
                        "picture instead.") from error
    return plt


def save_figure(figure, path):
    """Write a matplotlib figure into a file, whole, in the format that its name ends in."""
    with warnings.catch_warnings(), atomic_write(path) as file:
        warnings.filterwarnings("ignore", "Glyph")  # a letter that the font lacks becomes a box
        figure.savefig(file, format=os.path.splitext(path)[1][1:].lower(), dpi=100)


# How a script is run: its start, its end, its graph.
def termination_signals():
    """Return the signals that ask a program to end, those that the system has and this process heeds."""
    numbers = [getattr(signal, name, None) for name in ("SIGINT", "SIGTERM", "SIGHUP")]
    return [number for number in numbers
            if number and signal.getsignal(number) not in (signal.SIG_IGN, None)]


def prepare_script(tensorflow=True):
    """Prepare a script before it defines its flags: signals, a second run, TensorFlow."""
    if not INTERACTIVE and threading.current_thread() is threading.main_thread():
        # Until training starts nothing is lost: a signal, or a closed pipe, ends the script
        for number in (*termination_signals(), getattr(signal, "SIGPIPE", signal.SIGINT)):
            signal.signal(number, signal.SIG_DFL)
    for name in FLAGS:  # a second run in one process, as %run does it, defines them again
        FLAGS[name].allow_override = True
        FLAGS[name].unparse()
    if sys.__stderr__ is None:  # closed, or IDLE's: a file of ours would be taken for it
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        sys.stderr = sys.stderr or open(2, "w")  # noqa: SIM115
    if tensorflow and "tensorflow" not in sys.modules:
        load_tensorflow()


def load_tensorflow():
    """Import TensorFlow in half the time, without Keras, and in silence.

    What a user has set in the environment stands; TF_CPP_MIN_LOG_LEVEL=0 shows everything.
    """
    settings = {"TF_CPP_MIN_LOG_LEVEL": "3", "TF_ENABLE_ONEDNN_OPTS": "1",
                "TF_FORCE_GPU_ALLOW_GROWTH": "true", "TF_USE_LEGACY_KERAS": "1"}
    ours = settings.keys() - os.environ.keys()
    os.environ.update({name: settings[name] for name in ours})
    gc.disable()
    stderr = os.dup(2)
    faulthandler.enable(stderr)  # an abort is told
    if "TF_CPP_MIN_LOG_LEVEL" in ours:
        with open(os.devnull, "wb") as nothing:
            os.dup2(nothing.fileno(), 2)
    try:
        load_library("tensorflow.compat.v1")
    except UserError as error:
        raise SystemExit(f"Error: {error} TF_CPP_MIN_LOG_LEVEL=0 shows what TensorFlow says.") from error
    finally:
        faulthandler.disable()
        os.dup2(stderr, 2)
        os.close(stderr)
    if "TF_USE_LEGACY_KERAS" in ours:
        del os.environ["TF_USE_LEGACY_KERAS"]  # with it tf.keras fails in this process
    gc.freeze()
    gc.enable()


def run_script(main, *errors, takes_files=False):
    """Run a script's `main(argv)`; the one place where what ends it is told in a sentence.

    The errors are further exceptions to tell; `takes_files` allows words without a dash.
    Exit status: 0 done, 1 a stated error, 2 wrong usage; or what `main` returns.
    """
    for name in FLAGS:  # an import after a run in one process defines them again
        FLAGS[name].allow_override = True
    with contextlib.suppress(AttributeError):  # a notebook's or IDLE's is of another kind
        # Line by line, so that a log file keeps up with the run; no letter of a path is an error
        sys.stdout.reconfigure(line_buffering=True, errors="backslashreplace")
    try:
        app.run(main, flags_parser=lambda argv: parse_flags(argv, takes_files))
    except flags.Error as error:
        warn(f"Error: {first_cause(error).removesuffix('.')}. --help lists the flags.")
        sys.exit(2)
    except (UserError, OSError, MemoryError, RuntimeError, *errors) as error:
        warn(f"Error: {first_cause(error).removesuffix('.')}.")
        if isinstance(error, OSError) and error.filename is None and not INTERACTIVE:
            with open(os.devnull, "wb") as nothing:  # or Python tries again at its end, and fails
                os.dup2(nothing.fileno(), 1)
        sys.exit(1)


def parse_flags(argv, takes_files):
    """Parse a command line, and return the words that are no flags; raises flags.Error for wrong usage."""
    for word in argv[1:]:
        if word.lstrip("-") in ("figure", "csv") and word.startswith("-"):
            raise flags.Error(f"{word} needs an equals sign: {word}=FILE")
    try:
        words = FLAGS(argv)
    except SystemExit:
        sys.exit()  # after --help, for which absl has status 1
    if words[1:] and not takes_files:
        raise flags.Error(f"{words[1]!r} is not a flag")
    for flag in map(FLAGS.__getitem__, FLAGS):
        if flag.present and flag.value in ("", []):
            raise flags.Error(f"--{flag.name}= has no value")
        if isinstance(flag.value, str):
            flag.value = os.path.expanduser(flag.value)
    return words


def first_cause(error):
    """Return in one line why something failed; of TensorFlow's errors the first one in the chain counts."""
    if isinstance(error, UserError):
        return str(error)
    causes = [error]
    while causes[-1].__context__:
        causes.append(causes[-1].__context__)
    error = [error, *(cause for cause in causes if hasattr(cause, "node_def"))][-1]
    if isinstance(error, OSError) and error.strerror:
        name = "Standard output" if error.filename is None else os.path.abspath(error.filename)
        return f"{name}: {error.strerror}"
    return (str(getattr(error, "message", error)) or type(error).__name__).splitlines()[0]


@contextlib.contextmanager
def new_graph():
    """Give the function that this decorates a TF1 graph of its own, seeded, for each call."""
    import tensorflow.compat.v1 as tf

    verbosity = tf.logging.get_verbosity()
    tf.logging.set_verbosity(tf.logging.FATAL)  # not of deprecation; its errors are ours to tell
    try:
        # The variables of TensorFlow 1: in today's a wrong shape is restored without an error
        with tf.Graph().as_default(), tf.variable_scope("", use_resource=False):
            tf.set_random_seed(0)
            yield
    finally:
        tf.logging.set_verbosity(verbosity)


def main(_argv):
    """Look at the data: the chapter's first listing."""
    if FLAGS.convert:  # Not in the book: other forms of data, a file instead of a window
        convert(FLAGS.convert, FLAGS.data_dir)
        return
    plt = load_pyplot(show=not FLAGS.figure)
    train_images, train_labels, valid_images, valid_labels, test_images = \
        read_data(FLAGS.data_dir)  # noqa: RUF059
    print("train images shape = ", train_images.shape)
    print("train labels shape = ", train_labels.shape)  # Not in the listing, but in its output
    print("test labels shape = ", test_images.shape)

    image_0 = train_images[0]
    label_0 = train_labels[0]
    print("image_0 shape = ", image_0.shape)
    print("label set = ", label_0)
    image_0 = np.resize(image_0, (48, 48))

    plt.imshow(image_0, cmap='Greys_r')
    if FLAGS.figure:  # Not in the book
        save_figure(plt.gcf(), FLAGS.figure)
        return
    plt.show()


if __name__ == "__main__":
    prepare_script(tensorflow=False)
    flags.DEFINE_string("data_dir", "EmotionDetector/", "Path to data files")
    flags.DEFINE_string("figure", None, "File to draw the first face into, instead of a window")
    flags.DEFINE_string("convert", None, "Make the data files in --data_dir of this: a folder of "
                        "pictures by emotion, or a CSV file with a column Usage")
    run_script(main)
