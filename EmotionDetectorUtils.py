"""What the two other scripts stand on; by itself the chapter's first listing, "look at the data":

    python EmotionDetectorUtils.py [--data_dir=EmotionDetector/]

The chapter uses this module, and prints that listing only. The parts: the data files; faces
to practise on; one photograph, as the network sees it; --convert; files and drawings; why
something failed; how a script is run; the first listing, `main`.
"""
import sys

if sys.version_info < (3, 10):
    sys.exit(f"Error: Python 3.10 or newer is needed, and this is {sys.version.split()[0]}.")

import collections
import contextlib
import csv
import faulthandler
import gc
import hashlib
import importlib
import io
import logging
import os
import re
import signal
import threading
import warnings

try:
    import numpy as np
    from absl import app, flags
    from PIL import Image, ImageOps, UnidentifiedImageError
except ImportError as error:  # another Python than the one that everything was installed for
    sys.exit(f"Error: {error} for {sys.executable}: pip install -r requirements.txt.")
if not hasattr(Image.Image, "has_transparency_data"):  # matplotlib is content with an older one
    sys.exit(f"Error: Pillow 10.1 or newer is needed, and this is {Image.__version__}: pip install -U Pillow.")

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
GPU_DEVICES = ("/dev/nvidiactl", "/dev/dxg")  # NVIDIA's driver on Linux, and in Windows' WSL2
INTERACTIVE = hasattr(sys, "ps1") or sys.flags.interactive  # a notebook, IPython, python -i
OWNS_PROCESS = False  # whether a script of ours was started; `prepare_script` says so


class UserError(Exception):
    """A fault that the user can mend; its text is the one sentence that they see."""


def warn(sentence):
    """Print a sentence on standard error; the program goes on, also where nobody hears it."""
    with contextlib.suppress(OSError):
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
        labels, pixels, training = read_training_set(path)
        if not all(training):  # fer2013.csv holds its test set, too
            warn(f"{path}: rows left out because their Usage is not Training: {sum(~training)}.")
        labels, pixels = labels[training], pixels[training]
    else:
        warn(f"No train.csv in {os.path.abspath(data_dir)}: practising on drawn faces. A model "
             f"trained on them knows nothing of photographs. {GET_DATA}")
        labels, pixels = draw_faces(4178, seed=0)
    labels = np.eye(NUM_LABELS, dtype=np.float32)[labels]
    order = np.random.RandomState(0).permutation(len(labels))
    size = int(len(labels) * VALIDATION_PERCENT)
    valid, train = order[:size], order[size:]
    if not size:
        raise UserError(f"{path} holds {len(labels)} faces to train on, expected at least 10, so "
                        "that one in ten can be kept for validation.")
    return (to_images(pixels[train]), labels[train], to_images(pixels[valid]), labels[valid],
            to_images(read_test_set(data_dir)[1]))


def read_training_set(path, *needed):
    """Read faces to train on: labels uint8 [n], pixels uint8 [n, 2304], whether their Usage is "train...", bool [n].

    A row that lacks a value is left out, and counted on standard error.
    """
    rows = read_csv(path, ("emotion", "pixels", *needed), ("usage",))
    whole = rows.dropna()
    if whole.empty:
        raise UserError(f"{path}: none of its {len(rows)} rows has a value in each column, Emotion and Pixels.")
    if len(whole) < len(rows):
        warn(f"{path}: rows left out because a value is missing: {len(rows) - len(whole)}.")
    usages = whole.get("usage", ["Training"] * len(whole))
    training = np.array([usage.lower().startswith("train") for usage in usages])
    if not any(training):
        raise UserError(f"{path} holds no face to train on: its column Usage holds "
                        f"{', '.join(sorted(set(usages))[:5])}, expected Training in some rows.")
    return to_numbers(whole["emotion"]), to_numbers(whole["pixels"], IMAGE_SIZE * IMAGE_SIZE), training


def read_test_set(data_dir):
    """Return the test set: its labels [n] if each face has one, or None; its pixels [n, 2304]; its Ids [n].

    The Ids are those of `test.csv`, or 1, 2, ... where it has none. No row is left out, since an
    answer would then get the Id of another face: one without pixels or Id raises a UserError.
    """
    path = find_data(data_dir)
    if not path:
        labels, pixels = draw_faces(1312, seed=1)
        return labels, pixels, range(1, len(labels) + 1)
    path = os.path.join(os.path.dirname(path), "test.csv")
    if not os.path.lexists(path):
        return None, np.empty((0, IMAGE_SIZE * IMAGE_SIZE), np.uint8), ()
    rows = read_csv(path, ("pixels",), ("emotion", "id"))
    for name in rows.columns.drop("emotion", errors="ignore"):
        if rows[name].hasnans:
            number = rows.index[rows[name].isna()][0] + 1
            raise UserError(f"{path}, face {number}: no {name.replace('id', 'Id')}. Each line after the first must "
                            "hold a face, and none be blank: no answer may get the Id of another face.")
    labelled = "emotion" in rows and not rows["emotion"].hasnans
    return (to_numbers(rows["emotion"]) if labelled else None,
            to_numbers(rows["pixels"], IMAGE_SIZE * IMAGE_SIZE), rows.get("id", range(1, len(rows) + 1)))


def data_fingerprint(data_dir, carriage_returns=False):
    """Return what identifies the faces of `read_data` and their split: a digest of train.csv, or `PRACTICE_FACES`.

    Git on Windows adds carriage returns, so they do not count; in older models they do.
    """
    path, name = find_data(data_dir), PRACTICE_FACES
    if path:
        digest = hashlib.sha256()
        with open(path, "rb") as file:
            for block in iter(lambda: file.read(1 << 20), b""):
                digest.update(block if carriage_returns else block.replace(b"\r", b""))
        name = f"sha256:{digest.hexdigest()}"
    return name if VALIDATION_PERCENT == 0.1 else f"{name}, of which {VALIDATION_PERCENT} for validation"


def to_images(pixels):
    """Turn pixels [n, 2304] in 0..255 into the network's images float32 [n, 48, 48, 1] in 0..1."""
    return np.divide(pixels, 255, dtype=np.float32).reshape(-1, IMAGE_SIZE, IMAGE_SIZE, 1)


def find_data(data_dir):
    """Return the path of train.csv; None where the default folder, here and beside the scripts, holds nothing."""
    scripts = os.path.dirname(os.path.abspath(__file__))
    folders = [os.path.abspath(data_dir)]
    default = data_dir == DATA_DIR and ("data_dir" not in FLAGS or FLAGS["data_dir"].using_default_value)
    if default:
        folders.append(os.path.join(scripts, os.path.dirname(DATA_DIR)))  # started from another folder
    for folder in folders:
        path = os.path.join(folder, "train.csv")
        if os.path.lexists(path):
            return path
        if os.path.isfile(folder):
            raise UserError(f"{folder} is a file: name the folder that holds train.csv, with --data_dir.")
        holds = list_folder(folder) if os.path.isdir(folder) else []
        if default and (not holds or os.path.samefile(folder, scripts)):  # which holds the program itself
            continue
        holds = ", ".join(map(os.path.basename, holds[:5])) or "nothing"
        raise UserError(f"{path} is missing: its folder holds {holds}. Name the right one with --data_dir; unpack what "
                        "is zipped; make it of fer2013.csv, or of folders of pictures, with EmotionDetectorUtils.py "
                        f"--convert. {GET_DATA}")
    return None


def read_csv(path, needed, others):
    """Read a table of faces as Kaggle writes it; the one place where its cells are checked.

    The columns `needed` must be there, `others` may, of emotion, pixels, usage and id. Returns a pandas
    DataFrame: emotion and pixels as bytes, one a number, usage and id as text, NaN where a cell is empty.
    Blank lines are rows, but not those above the first line and below the last. Raises a UserError.
    """
    pd = load_library("pandas")
    start, chunks = 0, []
    try:
        with open(path, encoding="utf-8-sig", errors="replace") as file:
            while (header := file.readline()) and not header.strip():
                start = file.tell()
            file.seek(start)
            names = [name.strip() for name in next(csv.reader([header], skipinitialspace=True), [])]
            places = [place for place, name in enumerate(names) if name.lower() in (*needed, *others)]
            columns = [names[place].lower() for place in places]
            check_columns(path, columns, needed, ", ".join(names))
            for chunk in pd.read_csv(
                    file.buffer, chunksize=1000, dtype=str, skipinitialspace=True, index_col=False,
                    skip_blank_lines=False, encoding_errors="replace", usecols=places):
                chunk.columns = columns
                chunks.append(pd.DataFrame({name: pd.Series(
                    {row: parse_cell(f"{path}, face {row + 1}", name, cell) for row, cell in cells.dropna().items()},
                    chunk.index, object) for name, cells in chunk.items()}))
        rows = pd.concat(chunks)
        if rows.last_valid_index() is None:
            raise ValueError("no row follows the first line")
    except (ValueError, csv.Error) as fault:  # pandas', ours, or a first line that is none
        raise UserError(f"{path}: {reason(fault)}. Expected a CSV file in UTF-8 like Kaggle's: unpack it "
                        "if it is zipped, download it again if it is cut off or a web page.") from fault
    return rows.loc[:rows.last_valid_index()]


def check_columns(path, columns, needed, header):
    """Raise a UserError where a column is not there, or twice; a ValueError where there is no table."""
    for name in map(str.title, sorted(set(needed) - set(columns))):
        if not header.isprintable() or "\ufffd" in header or header[:1] in ("", "<"):  # zipped, or a web page
            raise ValueError(f"it has no column {name}")
        raise UserError(f"{path}: it has no column {name}, but {header[:60]!r}: rename the right one.")
    if len(set(columns)) < len(columns):
        name = max(columns, key=columns.count).title()
        raise UserError(f"{path} has more than one column {name}: remove the wrong one.")


def parse_cell(place, name, cell):
    """Return a cell of Emotion or Pixels as bytes, one a number, and one of Usage or Id without blanks around.

    Raises a UserError, which begins with the place, where the numbers are not those of a face.
    """
    if name in ("usage", "id"):
        return cell.strip() or None
    size, highest, expected = {
        "emotion": (1, NUM_LABELS - 1, "a label from 0 (anger) to 6 (neutral)"),
        "pixels": (IMAGE_SIZE * IMAGE_SIZE, 255, "48x48 = 2304 whole numbers from 0 to 255")}[name]
    cell = cell.removesuffix(".0")  # as pandas writes 3 where a value is missing
    if re.fullmatch(r"[0-9\s]*[0-9]\s*", cell, re.ASCII):
        values = np.fromstring(cell, np.int64, sep=" ")
        if len(values) == size and values.max() <= highest:
            return values.astype(np.uint8).tobytes()
    words = cell.split()
    odd = [word for word in words if not re.fullmatch("[0-9]+", word) or float(word) > highest]
    fault = repr(odd[0][:20]) if odd else f"{len(words)} values"
    raise UserError(f"{place}: {name.title()} holds {fault}, expected {expected}.")


def to_numbers(cells, *shape):
    """Turn n cells of bytes into an array uint8 [n, *shape]."""
    return np.frombuffer(b"".join(cells), np.uint8).reshape(-1, *shape)


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
    float32 take part, whose last bit IEEE 754 fixes; that of a sine differs between machines.
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
    picture = open_picture(path)
    return network_image(picture, crop_box(path, picture.size, box))


def network_image(picture, box):
    """Return what is in a box of an opened picture as the network's image float32 [48, 48, 1] in 0..1."""
    left, top, width, height = box
    small = picture.resize((IMAGE_SIZE, IMAGE_SIZE), Image.Resampling.HAMMING,
                           box=(left, top, left + width, top + height))
    if small.mode == "RGBA":  # what is transparent lies over white
        small = Image.alpha_composite(Image.new("RGBA", small.size, "white"), small)
    # Pillow's L is the book's 0.299 R + 0.587 G + 0.114 B
    return to_images(np.asarray(small.convert("L")))[0]


def open_picture(path, mode="L"):
    """Open a picture, upright, with eight bits a channel; the one place where image files are checked.

    Returns a Pillow image of mode L, RGB or RGBA. Mode "L" takes half the time to read a JPEG file
    that "RGB" takes, and loses its colours. Raises a UserError.
    """
    try:
        # By its name, Pillow 13.0 maps a TIFF file that lies on its side into memory, and mixes up its rows
        with open(path, "rb") as file, Image.open(file) as picture:
            picture.draft(mode, None)
            picture.load()
            with contextlib.suppress(Exception):  # damaged EXIF counts as none, as in every viewer
                ImageOps.exif_transpose(picture, in_place=True)
        if picture.mode[0] in "IF":  # grey of 16 or 32 bits, or floats: which value is white is not known
            raise ValueError("it has more than 8 bits a channel: save it with 8 bits")
        mode = "RGBA" if picture.has_transparency_data else "L" if picture.mode in ("1", "L") else "RGB"
        return picture if picture.mode == mode else picture.convert(mode)
    except Exception as error:  # Pillow raises a dozen types
        fault = reason(error)
        if isinstance(error, Image.DecompressionBombError):
            millions = 2 * Image.MAX_IMAGE_PIXELS // 1_000_000  # it refuses twice its limit
            fault = f"it is too large, expected at most {millions} million pixels: shrink it"
        elif isinstance(error, UnidentifiedImageError):
            fault = "it is damaged, or of another kind: save it as JPEG or PNG"
        raise UserError(f"{os.path.abspath(path)} cannot be read as a picture ({fault}).") from error


def crop_box(path, size, box=None):
    """Return left, top, width, height of what is used of a picture of size (width, height)."""
    if box is None:
        side = min(size)
        return (size[0] - side) // 2, (size[1] - side) // 2, side, side
    with contextlib.suppress(ValueError):
        left, top, width, height = map(float, box)
        if 0 <= left <= size[0] - width and 0 <= top <= size[1] - height and min(width, height) >= 8:
            return left, top, width, height
    raise UserError(f"--box={','.join(map(str, box))} does not lie in {os.path.abspath(path)}, which is {size[0]} "
                    f"pixels wide and {size[1]} high: expected LEFT,TOP,WIDTH,HEIGHT in pixels, at least 8 wide "
                    "and high.")


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
        elif not os.path.exists(path):
            others["link to nothing"] += 1
        else:
            others["folder" if os.path.isdir(path) else ending or "without an ending"] += 1
    return pictures, ", ".join(f"{count} {kind}" for kind, count in sorted(others.items()))


# --convert: the data files, made of the forms in which people have faces.
LABEL_OF_WORD = {word: label for label, words in enumerate((
    "anger angry", "disgust disgusted", "fear fearful afraid scared", "happy happiness joy",
    "sad sadness", "surprise surprised", "neutral")) for word in words.split()}
TRAIN_WORDS = {"train", "training"}
TEST_WORDS = {"test", "tests", "testing", "testset", "val", "valid", "validate", "validation", "eval",
              "evaluation", "dev", "holdout", "publictest", "privatetest"}


def convert(source, data_dir):
    """Write `train.csv`, and where there are faces for it `test.csv`, both with labels.

    The source is a CSV file with a column Usage, or a folder that holds folders of pictures
    named by emotion. Raises a UserError where a label would be a guess, and for a file that is
    there already.
    """
    source, data_dir = os.path.abspath(source), os.path.abspath(data_dir)
    for path in (os.path.join(data_dir, name) for name in ("train.csv", "test.csv")):
        if os.path.lexists(path):
            raise UserError(f"{path} is there already, and is not overwritten: name another --data_dir.")
    if os.path.isdir(source):
        faces = read_folders(find_folders(source))
    else:
        columns = read_training_set(source, "usage")
        order = np.argsort(~columns[-1], kind="stable")
        faces = zip(*(column[order] for column in columns))
    files, counts, digests = {}, collections.Counter(), set()
    with contextlib.ExitStack() as both:
        for label, pixels, training in faces:  # first those to train on
            name = "train.csv" if training else "test.csv"
            if not files and not training:
                break
            if name not in files:
                os.makedirs(data_dir, exist_ok=True)
                files[name] = both.enter_context(atomic_write(os.path.join(data_dir, name)))
                files[name].write(b"Emotion,Pixels\n")
            files[name].write(f"{label},{' '.join(map(str, pixels.tolist()))}\n".encode())
            counts[name] += 1
            digests.add(hashlib.sha256(pixels).digest())
    if not counts:
        raise UserError(f"{source}: none of its pictures to train on can be read.")
    for name, count in counts.items():
        print(f"{os.path.join(data_dir, name)}: {count} faces")
    if counts.total() > len(digests):
        warn(f"{source}: faces that are there more than once, pixel for pixel: {counts.total() - len(digests)} too "
             "many. A face that is trained on, and judged as well, makes an accuracy too high: leave one of them out.")


def find_folders(source):
    """Find the folders of pictures below a folder that is to be converted, and their labels; read none.

    Returns a list of folder, label 0..6, whether it is for training, and its pictures; first those
    for training. Raises a UserError where no folder with pictures is named by an emotion.
    """
    folders, left_out, numbers = [], [], set()
    for folder in folders_below(source):
        pictures, others = pick_pictures(path for path in list_folder(folder) if not os.path.isdir(path))
        if others:
            left_out.append(f"{folder}: left out: {others}.")
        names, label, training = os.path.relpath(folder, source).split(os.sep), None, True
        for said_label, said_training in map(read_name, names):  # the innermost name decides
            label = label if said_label is None else said_label
            training = training if said_training is None else said_training
        if pictures and label is None:
            numbers.update(name for name in names if name.isdecimal())
            left_out.append(f"{folder}: left out: {len(pictures)} pictures, since neither it nor a folder above it is "
                            f"named {', '.join(EMOTIONS[:-1])} or {EMOTIONS[-1]}.")
        elif pictures:
            folders.append((folder, label, training, pictures))
    if numbers and not folders:
        order = ", ".join(f"{label} {emotion}" for label, emotion in enumerate(EMOTIONS))
        raise UserError(f"{source} has folders named {', '.join(sorted(numbers)[:10])}, and each data set numbers "
                        f"emotions in its own way (FER2013: {order}). Rename each to its emotion in words.")
    for sentence in left_out:
        warn(sentence)
    if not any(training for _, _, training, _ in folders):
        raise UserError(f"{source} holds no face to train on: expected folders of pictures named "
                        f"{', '.join(EMOTIONS)}, and not all of them in a folder named test.")
    return sorted(folders, key=lambda found: not found[2])


def read_name(name):
    """Return what a folder's name says: a label 0..6, and whether it is for training; None for what it does not."""
    words = set(re.findall(r"[^\W\d_]+", name.lower()))  # {"happy", "test"} of "3_Happy (test)"
    training = False if words & TEST_WORDS else True if words & TRAIN_WORDS else None
    words -= TRAIN_WORDS | TEST_WORDS
    return LABEL_OF_WORD.get(words.pop()) if len(words) == 1 else None, training


def folders_below(folder, above=()):
    """Yield a folder and all those below it; links are followed, but never back to a folder above."""
    real = os.path.realpath(folder)
    if real not in above:
        yield folder
        for path in filter(os.path.isdir, list_folder(folder)):
            yield from folders_below(path, (*above, real))


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
        print(f"{folder}: {count} faces, {EMOTIONS[label]} -> {'train.csv' if training else 'test.csv'}")


# Files and drawings, written whole or not at all.
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
    except BrokenPipeError:  # of this pipe or of a print's: it ends a script, in `run_script`
        raise
    except (OSError, ValueError) as error:  # no room, or no such format
        raise UserError(f"{os.path.abspath(path)} cannot be written ({reason(error)}).") from error
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
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow((*columns, *EMOTIONS))
    table.writerows((*values, *row) for *values, row in zip(*columns.values(), probabilities))
    with atomic_write(path) as file:
        file.write(text.getvalue().encode(errors="surrogateescape"))


def load_pyplot(show):
    """Return matplotlib's pyplot, for a window or for files; raises a UserError where no window opens."""
    if OWNS_PROCESS:  # a notebook's own backend stays
        logging.getLogger("matplotlib").setLevel(logging.ERROR)  # no word of the fonts it finds
        backend = os.environ.pop("MPLBACKEND", "")  # a wrong name would stop the import
        if not show:
            os.environ["MPLBACKEND"] = "agg"
    plt = load_library("matplotlib.pyplot")
    if OWNS_PROCESS:  # a reader's matplotlibrc may close windows at once, or turn pictures over
        plt.rcdefaults()
        plt.ioff()
    try:
        if OWNS_PROCESS and show:
            if not backend or backend.startswith("module://"):  # which a notebook or an IDE hands down
                backend = plt.get_backend()
            plt.switch_backend(backend)
            plt.close(plt.figure())  # tkinter may be there, and its window not
        name = plt.get_backend().lower()
        if show and (name.rpartition("backend_")[2] in FILE_BACKENDS or (OWNS_PROCESS and "://" in name)):
            raise ImportError(f"{name} draws no window; there is no display, or no toolkit such as tkinter, or "
                              "MPLBACKEND or matplotlibrc names it")
    except Exception as error:  # of five toolkits
        raise UserError(f"matplotlib cannot open a window ({reason(error)}): use --figure=FILE.png.") from error
    return plt


def save_figure(figure, path):
    """Write a matplotlib figure into a file, whole, in the format that its name ends in."""
    with atomic_write(path) as file:
        figure.savefig(file, format=os.path.splitext(path)[1][1:].lower(), dpi=100)


# Why something failed, in one line.
def reason(error):
    """Return in one line why something failed: the error's own words, or its type where it has none."""
    path = str(getattr(error, "filename", None) or "")
    if os.path.islink(path) and not os.path.exists(path):
        return "it is a link to nothing"
    text = getattr(error, "strerror", None) or getattr(error, "message", None) or str(error)
    if hasattr(error, "node_def"):  # TensorFlow's: where it counts several causes, the first is (0); operations follow
        text = re.sub(r"(?sm)\A.*?^ *\(0\) ([A-Z_]+: )?", "", text).partition("\n")[0]
    return " ".join(text.split()) or type(error).__name__


def first_cause(error):
    """Return in one line why something failed, and in which file; of TensorFlow's errors the first one counts."""
    if isinstance(error, UserError):
        return str(error)
    cause = error
    while cause:
        if hasattr(cause, "node_def"):
            error = cause
        cause = cause.__context__
    if isinstance(error, OSError) and error.strerror:
        name = "Standard output" if error.filename is None else os.path.abspath(error.filename)
        return f"{name}: {reason(error)}"
    return reason(error)


def load_library(name):
    """Import a library where it is used, and return it; raises a UserError where that fails."""
    try:
        return importlib.import_module(name)
    except Exception as error:  # an ImportError, or what a library that does not fit another one raises
        advice = ": pip install -r requirements.txt" if isinstance(error, ImportError) else ""
        raise UserError(f"{name} cannot be loaded ({reason(error)}){advice}.") from error


# How a script is run: its start, its end, its graph.
def termination_signals():
    """Return the signals that ask a program to end, without those that are ignored, as under nohup."""
    numbers = [getattr(signal, name, None) for name in ("SIGINT", "SIGTERM", "SIGHUP")]
    return [number for number in numbers
            if number and signal.getsignal(number) not in (signal.SIG_IGN, None)]


def prepare_script(tensorflow=True):
    """Prepare a script before it defines its flags; the one place that changes what is the process's own."""
    global OWNS_PROCESS
    OWNS_PROCESS = not INTERACTIVE and threading.current_thread() is threading.main_thread()
    if OWNS_PROCESS:
        if os.getpid() != 1:  # which the system's own does not end, as in a container
            for number in termination_signals():  # while libraries load nothing is lost
                signal.signal(number, signal.SIG_DFL)
        sys.excepthook = lambda kind, *error: kind is KeyboardInterrupt or sys.__excepthook__(kind, *error)
        threading.excepthook = lambda _: None  # the curves' thread may fail; saver.save tells of a full disk
        if not sys.warnoptions:
            warnings.simplefilter("ignore")  # what counts is whether there is a result
        Image.MAX_IMAGE_PIXELS = MAX_PIXELS // 2  # Pillow refuses twice its limit
        if any(map(os.path.exists, GPU_DEVICES)):  # which so gives the same losses each time, as a CPU does anyway
            os.environ.setdefault("TF_DETERMINISTIC_OPS", "1")
    for name in FLAGS:  # a second run in one process, as %run does it, defines them again
        FLAGS[name].allow_override = True
        FLAGS[name].unparse()
    if sys.__stderr__ is None:  # closed, or IDLE's: a file of ours would be taken for it
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        sys.stderr = sys.stderr or os.fdopen(2, "w")
    if tensorflow and "tensorflow" not in sys.modules:
        load_tensorflow()


def load_tensorflow():
    """Import TensorFlow in half the time, without Keras, and in silence.

    What a user has set in the environment stands; TF_CPP_MIN_LOG_LEVEL=0 shows everything.
    """
    settings = {"TF_CPP_MIN_LOG_LEVEL": "3", "TF_ENABLE_ONEDNN_OPTS": "1", "NVIDIA_TF32_OVERRIDE": "0",
                "TF_FORCE_GPU_ALLOW_GROWTH": "true", "TF_USE_LEGACY_KERAS": "1"}
    ours = settings.keys() - os.environ.keys()
    os.environ.update({name: settings[name] for name in ours})
    gc.disable()
    stderr = os.dup(2)
    faulthandler.enable(stderr)  # an abort is told
    if os.environ["TF_CPP_MIN_LOG_LEVEL"] == "3":
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
    """Run a script's `main(argv)`; the one place where the error that ends it is told in a sentence.

    The errors are further exceptions to tell; `takes_files` allows words without a dash.
    Exit status: 0 done, 1 a stated error, 2 wrong usage; or what `main` returns.
    """
    for name in FLAGS:  # an import after a run in one process defines them again
        FLAGS[name].allow_override = True
    if OWNS_PROCESS and signal.getsignal(signal.SIGINT) == signal.SIG_DFL:
        signal.signal(signal.SIGINT, signal.default_int_handler)  # from here on files are tidied up
    with contextlib.suppress(AttributeError):  # a notebook's or IDLE's is of another kind
        # Line by line, so that a log file keeps up with the run; no letter of a path is an error
        sys.stdout.reconfigure(line_buffering=True, errors="backslashreplace")
    try:
        app.run(main, flags_parser=lambda argv: parse_flags(argv, takes_files))
    except flags.Error as error:
        warn(f"Error: {first_cause(error).removesuffix('.')}. --help lists the flags.")
        sys.exit(2)
    except (UserError, OSError, MemoryError, RuntimeError, *errors) as error:
        if OWNS_PROCESS and isinstance(error, BrokenPipeError) and hasattr(signal, "SIGPIPE"):
            signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # as every command ends whose reader has gone
            signal.raise_signal(signal.SIGPIPE)
        warn(f"Error: {first_cause(error).removesuffix('.')}.")
        if OWNS_PROCESS and isinstance(error, OSError) and error.filename is None:
            with open(os.devnull, "wb") as nothing:  # or Python tries again at its end, and fails
                os.dup2(nothing.fileno(), 1)
                os.dup2(nothing.fileno(), 2)
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
    if "" in words[1:]:
        raise flags.Error("an empty word names no file")
    for flag in map(FLAGS.__getitem__, FLAGS):
        if flag.present and flag.value in ("", []):
            raise flags.Error(f"--{flag.name}= has no value")
        if isinstance(flag.value, str):
            flag.value = os.path.expanduser(flag.value)
    return words


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


# The first listing: look at the data.
def main(_argv):
    """Look at the data: the chapter's first listing."""
    if FLAGS.convert:  # Not in the book: other forms of data
        convert(FLAGS.convert, FLAGS.data_dir)
        return
    load_pyplot(show=not FLAGS.figure)  # Not in the book: where no window opens, a sentence says so
    from matplotlib import pyplot as plt

    train_images, train_labels, valid_images, valid_labels, test_images = \
        read_data(FLAGS.data_dir)  # Book: EmotionDetectorUtils.read_data(FLAGS.data_dir)
    print("train images shape = ", train_images.shape)
    print("train labels shape = ", train_labels.shape)  # Not in the listing, but in its output
    print("test labels shape = ", test_images.shape)

    image_0 = train_images[0]
    label_0 = train_labels[0]
    print("image_0 shape = ", image_0.shape)
    print("label set = ", label_0)
    image_0 = np.resize(image_0, (48, 48))

    plt.imshow(image_0, cmap='Greys_r')
    if FLAGS.figure:  # Not in the book: a file instead of a window
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
