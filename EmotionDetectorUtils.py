"""What the two other scripts stand on; by itself the chapter's first listing, "look at the data":

    python EmotionDetectorUtils.py [--data_dir=EmotionDetector/]

Of this module the chapter prints that listing only, which is `main` here.
"""
import os
import sys

if sys.version_info < (3, 10):
    sys.exit(f"Error: Python 3.10 or newer is needed, and this is {sys.version.split()[0]}.")

import contextlib
import faulthandler
import gc
import hashlib
import importlib
import logging
import re
import signal
import warnings

try:
    import numpy as np
    from absl import app, flags
    from PIL import Image, ImageOps
except ImportError as error:
    python = os.path.join(os.path.dirname(os.path.abspath(__file__)), ".venv", "bin", "python")
    inactive = os.path.exists(python) and sys.prefix == sys.base_prefix
    sys.exit(f"Error: {error} in {sys.executable}: "
             + (f"start the program with {python}." if inactive else "pip install -r requirements.txt."))

FLAGS = flags.FLAGS  # Book: FLAGS = tf.flags.FLAGS
EMOTIONS = ("anger", "disgust", "fear", "happy", "sad", "surprise", "neutral")
# The data is cut by these; EmotionDetector.py has the same three, where the book has them
IMAGE_SIZE = 48  # pixels, both ways
NUM_LABELS = len(EMOTIONS)
VALIDATION_PERCENT = 0.1  # the share of train.csv that is kept for validation
CELLS = {  # how many numbers a cell has, the highest of them, and what is expected in words
    "emotion": (1, NUM_LABELS - 1, "a label from 0 (anger) to 6 (neutral)"),
    "pixels": (IMAGE_SIZE * IMAGE_SIZE, 255, "48x48 = 2304 whole numbers from 0 to 255")}

DATA_DIR = "EmotionDetector/"
PRACTICE_FACES = "practice faces"
GET_DATA = ("Get the data from https://github.com/PacktPublishing/Deep-Learning-with-TensorFlow-Second-Edition, in "
            "Chapter04/Emotions/EmotionDetector, or from https://inclass.kaggle.com/c/facial-keypoints-detector/data.")
INTERACTIVE = hasattr(sys, "ps1") or sys.flags.interactive  # a notebook, IPython, python -i


class UserError(Exception):
    """A fault that the user can mend; its text is the one sentence that is printed."""


def warn(sentence):
    """Print a sentence on standard error; the program goes on."""
    print(sentence, file=sys.stderr)


# The data files. The chapter calls read_data and does not print it.
def read_data(data_dir):
    """Read the faces of a folder and split off the validation set, as the chapter calls it.

    The folder holds `train.csv` (columns Emotion and Pixels) and perhaps `test.csv` (Pixels); for `DATA_DIR` with
    nothing in it the practice faces are drawn. Returns train_images, train_labels, valid_images, valid_labels and
    test_images: images float32 [n, 48, 48, 1] in 0..1, labels float32 one-hot [n, 7]. Raises a UserError.
    """
    path = find_data(data_dir)
    if path:
        labels, pixels, training = read_faces(path)
        if not all(training):  # fer2013.csv holds its test set, too
            warn(f"{path}: rows left out because their Usage is not Training: {sum(~training)}.")
        labels, pixels = labels[training], pixels[training]
    else:
        warn(f"No train.csv in {os.path.abspath(data_dir)}: practising on drawn faces. A model trained on them knows "
             f"nothing of photographs. {GET_DATA}")
        labels, pixels = draw_faces(4178, seed=0)
    size = int(len(labels) * VALIDATION_PERCENT)
    if not size:
        raise UserError(f"{path} holds {len(labels)} faces to train on, expected at least 10.")
    _, test_pixels, _ = read_test_set(data_dir)
    faces = [hash(face.tobytes()) for face in np.concatenate((pixels, test_pixels))]
    if len(faces) > len(set(faces)):
        warn(f"{os.path.abspath(data_dir)}: {len(faces) - len(set(faces))} duplicates. A face that is trained on and "
             "judged as well makes the accuracy too high: remove it.")
    labels = np.eye(NUM_LABELS, dtype=np.float32)[labels]
    order = np.random.RandomState(0).permutation(len(labels))
    valid, train = order[:size], order[size:]
    return to_images(pixels[train]), labels[train], to_images(pixels[valid]), labels[valid], to_images(test_pixels)


def read_faces(path, *needed):
    """Read faces with labels: labels uint8 [n], pixels uint8 [n, 2304], whether for training, bool [n].

    For training are those whose Usage begins with "train", or all where there is no such column. A row that lacks a
    value is left out, and counted on standard error. Raises a UserError.
    """
    rows = read_csv(path, "emotion", "pixels", *needed)
    whole = rows.dropna(subset=[name for name in ("emotion", "pixels", "usage") if name in rows])
    if len(whole) < len(rows):
        warn(f"{path}: rows left out because a value is missing: {len(rows) - len(whole)}.")
    usages = whole.get("usage", ["Training"] * len(whole))
    training = np.array([usage.strip().lower().startswith("train") for usage in usages], bool)
    if not any(training):
        raise UserError(f"{path} holds no face to train on: expected rows without a gap, with Usage Training if any.")
    return to_numbers(path, whole["emotion"])[:, 0], to_numbers(path, whole["pixels"]), training


def read_test_set(data_dir):
    """Return the test set: labels [n], or None if a face has none; pixels [n, 2304]; Ids [n], or 1, 2, ...

    A row without a face raises a UserError: left out, it would give each answer after it the Id of another face.
    """
    path = find_data(data_dir)
    if not path:
        labels, pixels = draw_faces(1312, seed=1)
        return labels, pixels, range(1, len(labels) + 1)
    path = os.path.join(os.path.dirname(path), "test.csv")
    if not os.path.lexists(path):
        return None, np.empty((0, IMAGE_SIZE * IMAGE_SIZE), np.uint8), ()
    rows = read_csv(path, "pixels").fillna("")
    labelled = "emotion" in rows and all(rows["emotion"])
    labels = to_numbers(path, rows["emotion"])[:, 0] if labelled else None
    return labels, to_numbers(path, rows["pixels"]), rows.get("id", range(1, len(rows) + 1))


def find_data(data_dir):
    """Return the path of train.csv; None where the default folder is absent or empty: for the practice faces."""
    path = os.path.abspath(os.path.join(data_dir, "train.csv"))
    if os.path.lexists(path):
        return path
    folder = os.path.dirname(path)
    holds = list_folder(folder) if os.path.isdir(folder) else []
    default = data_dir == DATA_DIR and ("data_dir" not in FLAGS or FLAGS["data_dir"].using_default_value)
    if default and not holds:
        return None
    holds = ", ".join(map(os.path.basename, holds[:5])) or "nothing"
    raise UserError(f"{path} is missing: its folder holds {holds}. Name the right one with --data_dir; unpack what is "
                    "zipped; make the file from fer2013.csv, or from folders of pictures, with EmotionDetectorUtils.py "
                    f"--convert. {GET_DATA}")


def read_csv(path, *needed):
    """Read a table of faces as Kaggle writes it: a pandas DataFrame of text, NaN where a cell is empty.

    The names of columns are in lower case. Blank lines are rows, but not those at the end. Raises a UserError.
    """
    import pandas as pd

    try:
        rows = pd.read_csv(path, dtype=str, skipinitialspace=True, index_col=False, skip_blank_lines=False,
                           encoding_errors="replace")
        first = ",".join(rows.columns)
        rows.columns = [name.strip().lower() for name in rows.columns]
        if not set(needed) <= set(rows.columns):
            raise ValueError(f"its first line is {first[:60]!r}")
    except ValueError as fault:  # pandas', too
        names = " and ".join(name.title() for name in needed)
        raise UserError(f"{path}: {first_cause(fault)}. Expected a CSV file with {names} in its first line: unpack it, "
                        "if it is incomplete or a web page download it again, or rename its columns.") from fault
    return rows.loc[:rows.last_valid_index()]


def to_numbers(path, cells):
    """Turn n cells of a column into numbers, uint8 [n, size]; a UserError names the face that is at fault."""
    size, highest, expected = CELLS[cells.name]
    numbers = np.empty((len(cells), size), np.uint8)
    for row, (index, cell) in enumerate(cells.items()):
        cell = cell.removesuffix(".0")  # as pandas writes 3 where a value is missing
        digits = re.fullmatch(r"[0-9\s]*[0-9]\s*", cell, re.ASCII)
        values = np.fromstring(cell, np.int64, sep=" ") if digits else ()
        if len(values) != size or np.max(values) > highest:
            words = cell.split()
            odd = [word for word in words if not re.fullmatch("[0-9]{1,3}", word) or int(word) > highest]
            fault = repr(odd[0][:20]) if odd else f"{len(words)} values"
            raise UserError(f"{path}, face {index + 1}: {cells.name.title()} holds {fault}, expected {expected}.")
        numbers[row] = values
    return numbers


def data_fingerprint(data_dir, *arrays):
    """Return what identifies a model's data: a digest of arrays of `read_data`, after `PRACTICE_FACES` for those."""
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(array)
    return f"{'sha256' if find_data(data_dir) else PRACTICE_FACES}:{digest.hexdigest()}"


def to_images(pixels):
    """Turn pixels [n, 2304] in 0..255 into the network's images float32 [n, 48, 48, 1] in 0..1."""
    return np.divide(pixels, 255, dtype=np.float32).reshape(-1, IMAGE_SIZE, IMAGE_SIZE, 1)


# Faces to practise on where there is no data. How each emotion moves a neutral face, in units of its half height:
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

    brow, slope, arch, eyes, mouth, opening, width, sneer = EXPRESSIONS[labels].T[:, :, None, None] * uniform(0.7, 1.15)
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

    The box is LEFT, TOP, WIDTH, HEIGHT of the face in pixels of the upright photograph; None is the largest square in
    the middle. Raises a UserError for a damaged picture or a box that does not fit, an OSError for a missing file.
    """
    picture = open_picture(path)
    left, top, width, height = crop_box(path, picture.size, box)
    small = picture.resize((IMAGE_SIZE, IMAGE_SIZE), Image.Resampling.HAMMING,
                           box=(left, top, left + width, top + height))
    if small.mode == "RGBA":  # what is transparent lies over white
        small = Image.alpha_composite(Image.new("RGBA", small.size, "white"), small)
    # Pillow's L is the book's 0.299 R + 0.587 G + 0.114 B
    return to_images(np.asarray(small.convert("L")))[0]


def open_picture(path, mode="L"):
    """Open a picture, upright, with eight bits a channel; the one place where image files are checked.

    Returns a Pillow image of mode L, RGB or RGBA. With mode "L" a JPEG file is read in half the time, without colours.
    """
    # By its name, Pillow 13.0 maps a TIFF file that lies on its side into memory, and mixes up its rows
    with open(path, "rb") as file:
        try:
            with Image.open(file) as picture:
                picture.draft(mode, None)
                picture.load()
                with contextlib.suppress(Exception):  # damaged EXIF counts as none, as in every viewer
                    ImageOps.exif_transpose(picture, in_place=True)
            if picture.mode[0] in "IF":  # grey of 16 or 32 bits, or floats: which value is white is not known
                raise ValueError("it has more than 8 bits a channel")
            transparent = picture.mode.endswith("A") or "transparency" in picture.info
            return picture.convert("RGBA" if transparent else "L" if picture.mode in ("1", "L") else "RGB")
        except Exception as error:  # Pillow raises a dozen types
            raise UserError(f"{os.path.abspath(path)} cannot be read as a picture ({first_cause(error)}): "
                            "save it as JPEG or PNG, with 8 bits a channel.") from error


def crop_box(path, size, box=None):
    """Return left, top, width, height of what is used of a picture of size (width, height)."""
    if box is None:
        side = min(size)
        return (size[0] - side) // 2, (size[1] - side) // 2, side, side
    with contextlib.suppress(ValueError):  # not four numbers: the error below
        left, top, width, height = map(float, box)
        if 0 <= left <= size[0] - width and 0 <= top <= size[1] - height and min(width, height) >= 8:
            return left, top, width, height
    raise UserError(f"--box={','.join(map(str, box))} does not lie in {os.path.abspath(path)}, which is {size[0]} "
                    f"pixels wide and {size[1]} high: expected LEFT,TOP,WIDTH,HEIGHT in pixels, at least 8 by 8.")


def list_folder(folder):
    """Return the sorted paths of what a folder holds, but for hidden files; or raise an OSError."""
    return [os.path.join(folder, name) for name in sorted(os.listdir(folder)) if not name.startswith(".")]


def pick_pictures(paths):
    """Return those paths that end as a picture does which Pillow can read, and the number of other files."""
    files = [path for path in paths if not os.path.isdir(path)]
    formats = Image.registered_extensions()
    pictures = [path for path in files if formats.get(os.path.splitext(path)[1].lower()) in Image.OPEN]
    return pictures, len(files) - len(pictures)


def each_readable(read, values, words="Error"):
    """Yield each value, and what a function reads for it; where it fails, that is told, after some words."""
    for value in values:
        try:
            result = read(value)
        except (UserError, OSError) as error:
            warn(f"{words}: {first_cause(error).removesuffix('.')}.")
        else:
            yield value, result


# --convert: the data files, made of the forms in which people have faces.
LABEL_OF_WORD = {word: label for label, words in enumerate((
    "anger angry", "disgust disgusted", "fear fearful afraid scared", "happy happiness joy", "sad sadness",
    "surprise surprised", "neutral")) for word in words.split()}
TRAIN_WORDS = {"train", "training"}
TEST_WORDS = {"test", "tests", "testing", "testset", "val", "valid", "validate", "validation", "eval", "evaluation",
              "dev", "holdout", "publictest", "privatetest"}


def convert(source, data_dir):
    """Write `train.csv`, and where there are faces for it `test.csv`, both with labels.

    The source is a CSV file with a column Usage, or a folder that holds folders of pictures named by emotion. Raises a
    UserError where a label would be a guess, and for a file that is there already.
    """
    source, data_dir = os.path.abspath(source), os.path.abspath(data_dir)
    paths = os.path.join(data_dir, "test.csv"), os.path.join(data_dir, "train.csv")
    for path in filter(os.path.lexists, paths):
        raise UserError(f"{path} is there already, and is not overwritten: name another --data_dir.")
    labels, pixels, training = read_folders(source) if os.path.isdir(source) else read_faces(source, "usage")
    os.makedirs(data_dir, exist_ok=True)
    for path, chosen in zip(paths, (~training, training)):
        if any(chosen):
            with open(path + ".part", "w") as file:  # half a data set must not be trained on
                print("Emotion,Pixels", file=file)
                for label, face in zip(labels[chosen], pixels[chosen]):
                    print(label, " ".join(map(str, face.tolist())), sep=",", file=file)
            os.replace(path + ".part", path)
            print(f"{path}: {sum(chosen)} faces")


def read_folders(source):
    """Read the pictures in folders that are named by emotion, at any depth; print how many of each go where.

    Returns labels [n], pixels uint8 [n, 2304], whether for training, bool [n]. Raises a UserError.
    """
    faces, left_out, others = [], [], 0
    for folder in folders_below(source):
        pictures, count = pick_pictures(list_folder(folder))
        others += count
        label, training = read_names(os.path.relpath(folder, source).split(os.sep))
        if pictures and label is None:
            left_out.append(f"{folder}: left out: {len(pictures)} pictures, since no folder names their emotion.")
        elif pictures:
            images = [image for _, image in each_readable(read_image, pictures, "Left out")]
            faces += [(label, np.rint(image * 255).astype(np.uint8).ravel(), training) for image in images]
            print(f"{folder}: {len(images)} faces, {EMOTIONS[label]} -> {'train.csv' if training else 'test.csv'}")
    if not any(training for _, _, training in faces):
        order = ", ".join(f"{label} {emotion}" for label, emotion in enumerate(EMOTIONS))
        raise UserError(f"{source} holds no face to train on: expected pictures in folders named by emotion, in words, "
                        "and not all of them in a folder named test. Numbers are no names, since data sets number the "
                        f"emotions differently (FER2013: {order}): rename each to its emotion.")
    if others:
        left_out.append(f"{source}: left out: {others} files that do not end as a picture does.")
    for sentence in left_out:
        warn(sentence)
    return map(np.array, zip(*faces))


def folders_below(folder, above=()):
    """Yield a folder and all those below it; links are followed, but never back to a folder above."""
    real = os.path.realpath(folder)
    if real not in above:
        yield folder
        for path in filter(os.path.isdir, list_folder(folder)):
            yield from folders_below(path, (*above, real))


def read_names(names):
    """Return what folders' names say, from the outermost to the innermost: a label 0..6 or None, whether for training.

    The last one that says something decides. A label is one word, beside digits, or a word such as "train".
    """
    label, training = None, True
    for name in names:
        words = set(re.findall(r"[^\W\d_]+", name.lower()))  # {"happy", "test"} of "3_Happy (test)"
        if words & (TRAIN_WORDS | TEST_WORDS):
            training = not words & TEST_WORDS
            words -= TRAIN_WORDS | TEST_WORDS
        if len(words) == 1:
            label = LABEL_OF_WORD.get(words.pop(), label)
    return label, training


# Drawings.
def save_figure(figure, path):
    """Write a matplotlib figure into a file, in the format that its name ends in."""
    try:
        figure.savefig(path, dpi=100)
    except ValueError as error:  # no such format
        raise UserError(f"{os.path.abspath(path)} cannot be written ({first_cause(error)}).") from error


def open_pyplot():
    """Return matplotlib's pyplot, where it can open a window, which then waits; else raise a UserError."""
    from matplotlib import pyplot as plt

    if INTERACTIVE:  # a notebook shows drawings in its own way
        return plt
    try:
        plt.ioff()
        toolkit = plt.figure().canvas.required_interactive_framework
        plt.close()
        if not toolkit:
            raise ImportError(f"{plt.get_backend()} draws files; is there a display, and a toolkit such as tkinter?")
    except Exception as error:  # of five toolkits
        raise UserError(f"matplotlib cannot open a window ({first_cause(error)}): use --figure=FILE.png.") from error
    return plt


# How a script is run: its start, its errors, its flags, its graph.
def prepare_script(tensorflow=True):
    """Prepare a script before it defines its flags; the one place that changes what is the process's own."""
    for name in FLAGS:  # a second run in one process, as %run does it, defines them again
        FLAGS[name].allow_override = True
        FLAGS[name].unparse()
    if not INTERACTIVE:
        # Ctrl-C, and a reader that has gone, end it as they end every command; process 1 would ignore Ctrl-C
        if os.getpid() != 1 and signal.getsignal(signal.SIGINT) == signal.default_int_handler:
            signal.signal(signal.SIGINT, signal.SIG_DFL)
        if hasattr(signal, "SIGPIPE"):
            signal.signal(signal.SIGPIPE, signal.SIG_DFL)
        if not sys.warnoptions:
            warnings.simplefilter("ignore")  # what counts is whether there is a result
        logging.getLogger("matplotlib").setLevel(logging.ERROR)  # no word of the fonts it finds
        if hasattr(sys.stdout, "reconfigure"):  # IDLE's is of another kind
            # Line by line, so that a log file keeps up with the run; no letter of a path is an error
            sys.stdout.reconfigure(line_buffering=True, errors="backslashreplace")
        if os.environ.get("MPLBACKEND", "").startswith("module://"):  # a notebook's, handed down
            del os.environ["MPLBACKEND"]
        if os.path.exists("/dev/nvidiactl") or os.path.exists("/dev/dxg"):  # NVIDIA's driver, and in WSL2
            # So that a GPU gives the same losses each time; a CPU does so anyway
            os.environ.setdefault("TF_DETERMINISTIC_OPS", "1")
    if tensorflow and "tensorflow" not in sys.modules:
        load_tensorflow()


def load_tensorflow():
    """Import TensorFlow in half the time, without Keras, and in silence; what a user has set before stands."""
    settings = {"TF_CPP_MIN_LOG_LEVEL": "3", "TF_ENABLE_ONEDNN_OPTS": "1", "NVIDIA_TF32_OVERRIDE": "0",
                "TF_FORCE_GPU_ALLOW_GROWTH": "true", "TF_USE_LEGACY_KERAS": "1"}
    ours = settings.keys() - os.environ.keys()
    os.environ.update({name: settings[name] for name in ours})
    quiet = os.environ["TF_CPP_MIN_LOG_LEVEL"] == "3" and sys.__stderr__  # None in IDLE
    gc.disable()
    if quiet:
        stderr = os.dup(2)
        faulthandler.enable(stderr)  # an abort is told all the same
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    try:
        importlib.import_module("tensorflow.compat.v1")
    except ImportError as error:
        sys.exit(f"Error: {first_cause(error)}: pip install -r requirements.txt. TF_CPP_MIN_LOG_LEVEL=0 shows more.")
    finally:
        if quiet:
            faulthandler.disable()
            os.dup2(stderr, 2)
    if "TF_USE_LEGACY_KERAS" in ours:
        del os.environ["TF_USE_LEGACY_KERAS"]  # with it tf.keras fails in this process
    gc.freeze()
    gc.enable()


def run_script(main, *errors, takes_files=False):
    """Run a script's `main(argv)`; the one place where the error that ends it is told in a sentence.

    The errors are further types to tell. Exit status: 0 done, 1 a stated error, 2 wrong usage; or what `main` returns.
    """
    for name in FLAGS:  # an import after a run in one process defines them again
        FLAGS[name].allow_override = True
    try:
        app.run(main, flags_parser=lambda argv: parse_flags(argv, takes_files))
    except flags.Error as error:
        warn(f"Error: {first_cause(error).removesuffix('.')}. --help lists the flags.")
        sys.exit(2)
    except (UserError, ImportError, OSError, MemoryError, *errors) as error:
        warn(f"Error: {first_cause(error).removesuffix('.')}.")
        sys.exit(1)


def parse_flags(argv, takes_files):
    """Parse a command line, and return the words that are no flags; raises flags.Error for wrong usage."""
    for word in argv[1:]:
        if word.startswith("-") and word.lstrip("-") in ("figure", "csv"):  # or the next photograph is overwritten
            raise flags.Error(f"{word} needs an equals sign: {word}=FILE")
    words = FLAGS(argv)
    if words[1:] and not takes_files:
        raise flags.Error(f"{words[1]!r} is not a flag")
    for flag in map(FLAGS.__getitem__, FLAGS):
        if flag.present and flag.value in ("", []):
            raise flags.Error(f"--{flag.name}= has no value")
        if isinstance(flag.value, str):
            flag.value = os.path.expanduser(flag.value)
    return words


def first_cause(error):
    """Return in one line why something failed: of the system's errors with the file, of TensorFlow's the first."""
    cause = None if isinstance(error, UserError) else error
    while cause:
        if hasattr(cause, "node_def"):  # TensorFlow's
            error = cause
        cause = cause.__context__
    text = getattr(error, "message", None) or str(error)
    if isinstance(error, OSError) and error.strerror:
        text = f"{os.path.abspath(error.filename)}: {error.strerror}" if error.filename else error.strerror
    if hasattr(error, "node_def"):  # where it counts several causes, the first is (0); operations follow
        text = re.sub(r"(?sm)\A.*?^ *\(0\) ([A-Z_]+: )?", "", text).partition("\n")[0]
    return " ".join(text.split()) or type(error).__name__


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


# The first listing; its first line, `import numpy as np`, stands at the top.
def main(_argv):
    """Look at the data: the chapter's first listing."""
    if FLAGS.convert:  # Not in the book: other forms of data
        return convert(FLAGS.convert, FLAGS.data_dir)
    if not FLAGS.figure:  # Not in the book: where no window opens, a sentence says so
        open_pyplot()
    from matplotlib import pyplot as plt

    # Book: import EmotionDetectorUtils
    # Book: train_images, train_labels, valid_images, valid_labels, test_images =
    # Book:     EmotionDetectorUtils.read_data(FLAGS.data_dir)
    train_images, train_labels, valid_images, valid_labels, test_images = read_data(FLAGS.data_dir)
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
        return save_figure(plt.gcf(), FLAGS.figure)
    plt.show()


if __name__ == "__main__":
    prepare_script(tensorflow=False)
    # Book: tf.flags.DEFINE_string("data_dir", "EmotionDetector/", "Path to data files")
    flags.DEFINE_string("data_dir", "EmotionDetector/", "Path to data files")
    flags.DEFINE_string("figure", None, "File to draw the first face into, instead of a window")
    flags.DEFINE_string("convert", None, "Folder of pictures by emotion, or CSV file with a column Usage, to make the "
                        "data files of --data_dir from")
    run_script(main)
