"""The data of the emotion detector: real faces, drawn ones, and one photograph.

The chapter uses this module and does not print it, but for its first listing, "look at
the data", which is `main`:

    python EmotionDetectorUtils.py [--data_dir=EmotionDetector/]
"""
import contextlib
import faulthandler
import gc
import glob
import hashlib
import logging
import os
import signal
import sys
import tempfile
import threading
import warnings

import numpy as np
from absl import app, flags
from PIL import ExifTags, Image, ImageOps

FLAGS = flags.FLAGS
EMOTIONS = ("anger", "disgust", "fear", "happy", "sad", "surprise", "neutral")
# What the data is cut by; EmotionDetector.py has the same three, where the book has them
IMAGE_SIZE = 48  # pixels, both ways
NUM_LABELS = 7
VALIDATION_PERCENT = 0.1  # the share of train.csv that is kept for validation

DATA_DIR = "EmotionDetector/"
PRACTICE_FACES = "practice faces"
GET_DATA = ("Get train.csv and test.csv from https://github.com/PacktPublishing/Deep-Learning-with-"
            "TensorFlow-Second-Edition (Chapter04/Emotions/EmotionDetector), the book's repository, "
            "or from https://inclass.kaggle.com/c/facial-keypoints-detector/data.")
MAX_PIXELS = 250_000_000  # of a photograph
INTERACTIVE = hasattr(sys, "ps1") or sys.flags.interactive  # a notebook, IPython, python -i


class UserError(Exception):
    """What the user can mend; its text is the one sentence that they see."""


def notice(sentence):
    """Say on standard error what does not stop the program."""
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
        labels, pixels, usage = read_csv(path, {"emotion", "pixels"}, {"usage"})
    else:
        notice(f"No train.csv in {os.path.abspath(data_dir)}: practising on drawn faces. A model "
               f"trained on them knows nothing of photographs. {GET_DATA}")
        (labels, pixels), usage = draw_faces(4178, seed=0), None
    if usage is not None and not all(usage == "training"):  # fer2013.csv holds its test set, too
        notice(f"{path}: rows left out because their Usage is not Training: {sum(usage != 'training')}.")
        labels, pixels = labels[usage == "training"], pixels[usage == "training"]
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
    """Return the test set's labels [n], None where `test.csv` has none, and pixels [n, 2304]."""
    path = find_data(data_dir)
    if not path:
        return draw_faces(1312, seed=1)
    path = os.path.join(os.path.dirname(path), "test.csv")
    if not os.path.lexists(path):
        return None, np.empty((0, IMAGE_SIZE * IMAGE_SIZE), np.uint8)
    return read_csv(path, {"pixels"}, {"emotion"})[:2]


def training_data(data_dir):
    """Name the faces that `read_data` gives by their content: a digest, or `PRACTICE_FACES`."""
    path = find_data(data_dir)
    if not path:
        return PRACTICE_FACES
    with open(path, "rb") as file:
        return f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"


def to_images(pixels):
    """Turn pixels [n, 2304] in 0..255 into the network's images float32 [n, 48, 48, 1] in 0..1."""
    return np.divide(pixels, 255, dtype=np.float32).reshape(-1, IMAGE_SIZE, IMAGE_SIZE, 1)


def find_data(data_dir):
    """Return the path of train.csv; None where the default folder is absent, or holds nothing."""
    path = os.path.join(os.path.abspath(data_dir), "train.csv")
    if os.path.exists(path):
        return path
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


def read_csv(path, needed, further=frozenset()):
    """Read faces as Kaggle writes them; the one place where their rows are checked.

    `needed` and `further` are the columns that must and may be there, in small letters. Returns
    labels uint8 [n] in 0..6 and usages [n], or None for those that are not there, and between
    them pixels uint8 [n, 2304]. A row without a value is dropped, and told.
    """
    import pandas as pd  # here, as it takes a quarter of a second

    columns, rows, number = {"emotion": [], "pixels": [], "usage": []}, 0, None
    try:
        with (open(path, "rb") as file, warnings.catch_warnings(), pd.read_csv(
                file, chunksize=1000, dtype=str, skipinitialspace=True, index_col=False,
                usecols=lambda name: name.strip().lower() in needed | further,
                encoding_errors="replace") as chunks):
            warnings.filterwarnings("error", "string or file could not", DeprecationWarning)
            for chunk in chunks:
                chunk.columns = [name.strip().lower() for name in chunk]
                for name in needed - set(chunk):
                    raise ValueError(f"it has no column {name.title()}")
                rows += len(chunk)
                for name, cells in chunk.dropna().items():
                    for number, cell in cells.items():
                        columns[name].append(cell.strip().lower() if name == "usage" else
                                             parse(name, cell.removesuffix(".0")))  # as pandas writes 3
                number = None
        if not columns["pixels"]:
            raise ValueError(f"none of its {rows} rows has a value in each column" if rows else
                             "no row follows the first line")
    except ValueError as fault:  # pandas', or ours
        face = "" if number is None else f", face {number + 1}"
        raise UserError(f"{path}{face}: {fault}. Expected a CSV file in UTF-8 like Kaggle's: unpack it "
                        "if it is zipped, download it again if it is cut off or a web page.") from fault
    if rows > len(columns["pixels"]):
        notice(f"{path}: rows dropped because a value is missing: {rows - len(columns['pixels'])}.")
    labels, pixels = (np.frombuffer(b"".join(columns[name]), np.uint8) for name in ("emotion", "pixels"))
    return (labels if len(labels) else None, pixels.reshape(-1, IMAGE_SIZE * IMAGE_SIZE),
            np.array(columns["usage"]) if columns["usage"] else None)


def parse(name, cell):
    """Turn a cell of Emotion or Pixels into bytes, one a number; or raise a ValueError."""
    size, highest, expected = {
        "emotion": (1, NUM_LABELS - 1, "a label from 0 (anger) to 6 (neutral)"),
        "pixels": (IMAGE_SIZE * IMAGE_SIZE, 255, "48x48 = 2304 whole numbers from 0 to 255")}[name]
    with contextlib.suppress(ValueError, DeprecationWarning):
        values = np.fromstring(cell, np.int64, sep=" ")
        if len(values) == size and values.min() >= 0 and values.max() <= highest:
            return values.astype(np.uint8).tobytes()
    words = cell.split()
    odd = [word for word in words if not (word.isdecimal() and int(word[:9]) <= highest)]
    raise ValueError(f"{name.title()} holds {repr(odd[0][:20]) if odd else f'{len(words)} values'}, "
                     f"expected {expected}")


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
    def vary(low, high):
        deviates = rng.random_sample((len(labels), 1, 1)).astype(np.float32)
        return np.float32(low) + np.float32(high - low) * deviates

    def paint(shade, inside):
        np.add(image, (shade - image) * inside, out=image)

    brow, slope, arch, eyes, mouth, opening, width, sneer = (
        EXPRESSIONS[labels].T[:, :, None, None] * vary(0.7, 1.15))
    sneer = sneer * np.sign(vary(-1, 1))

    # Pose: x and y run from -1 to 1 over the face, whose eyes and brows mirror each other.
    grid = (np.arange(IMAGE_SIZE, dtype=np.float32) - np.float32(23.5)) / 22
    x = (grid[None, None, :] - vary(-0.1, 0.1)) * vary(0.9, 1.15)
    y = (grid[None, :, None] - vary(-0.1, 0.1)) * vary(0.9, 1.1)
    tilt = vary(-0.2, 0.2)
    x, y = x + tilt * y, y - tilt * x
    side = np.abs(x)

    # Background, hair, skin
    image = vary(20, 200) + vary(-40, 40) * y + np.zeros_like(x)
    skin, jaw = vary(90, 225), vary(0.68, 0.78)
    paint(vary(10, 120), cover(ellipse(x, y + 0.12, jaw + 0.1, 1.02)))
    hairline = vary(-0.75, -0.6) - 0.2 * x * x
    paint(skin, cover(np.maximum(ellipse(x, y, jaw, 1), hairline - y)))

    # Eyes: socket, white, iris
    across, down = side - 0.31, y + 0.14
    white = cover(ellipse(across, down, 0.16, 0.09 * eyes))
    paint(skin * 0.45, cover(ellipse(across, down, 0.2, 0.09 * eyes + 0.04)))
    paint(skin * 0.3 + 160, white)
    paint(25, white * cover(ellipse(across + vary(-0.03, 0.03), down, 0.075, 0.08)))

    # Brows, nose, and the folds beside the nose of a sneer
    across = side - 0.33
    line = vary(-0.39, -0.35) + brow - slope * across + arch * across * across
    paint(skin * vary(0.15, 0.4), stroke(y - line, vary(0.025, 0.05), across, 0.2))
    paint(skin * 0.7, stroke(y - 0.2 + 0.5 * side, 0.02, side, 0.11))
    paint(skin * 0.6, stroke(side - 0.14 - 0.6 * y, 0.015, y - 0.18, 0.12) * (sneer != 0))

    # Mouth: lips, what opens between them, and a smile's teeth
    across = x / (width * vary(0.9, 1.1))
    bow = 1 - across * across
    line = vary(0.49, 0.55) + mouth * (0.5 - bow) + sneer * x
    gap = np.abs(y - line) - opening * bow
    paint(skin * 0.5, stroke(gap, vary(0.03, 0.05), side, width))
    inside = cover(np.maximum(gap, side - width)) * (opening > 0.03)
    paint(25, inside)
    paint(225, inside * cover(y - line + 0.2 * opening * bow) * (mouth < -0.1))

    # Light from one side, a blur, noise
    image *= 1 + vary(-0.3, 0.3) * x
    blur = vary(0, 0.5)
    for view in image, image.transpose(0, 2, 1):
        view[:, 1:-1] += blur * ((view[:, :-2] + view[:, 2:]) / 2 - view[:, 1:-1])
    noise = rng.randint(-255, 256, image.shape).astype(np.float32)
    image += noise * vary(0, 0.05)
    return np.clip(image, 0, 255).astype(np.uint8)


def ellipse(x, y, width, height):
    """The distance of points from an ellipse around 0, less than 0 inside."""
    across, down = x / width, y / height
    return (np.sqrt(across * across + down * down) - 1) * height


def stroke(across, thick, along, length):
    """A soft mask of the points near a line, along its length."""
    return cover(np.maximum(np.abs(across) - thick, np.abs(along) - length))


def cover(distance):
    """A soft mask: 1 inside a shape, 0 outside, a pixel and a half between."""
    return np.clip(0.5 - distance * 14, 0, 1)


# One photograph, as the network sees it.
def read_image(path, box=None):
    """Read one photograph as training reads its faces: float32 [48, 48, 1] in 0..1.

    The box is LEFT, TOP, WIDTH, HEIGHT of the face in pixels of the upright photograph;
    None is the largest square in the middle. Raises a UserError where it does not fit.
    """
    picture, size = open_picture(path, "L")
    left, top, width, height = place_box(path, size, box)
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
    limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None  # ours takes its place
    try:
        # No word of odd metadata, as long as there is a picture
        with warnings.catch_warnings(action="ignore"), Image.open(path) as picture:
            width, height = picture.size
            if width * height > MAX_PIXELS:
                raise ValueError(f"it is too large: {width} x {height} pixels; shrink it")
            picture.draft(mode, size)
            picture.load()
            if picture.getexif().get(ExifTags.Base.Orientation, 1) > 4:  # it lies on its side
                width, height = height, width
            ImageOps.exif_transpose(picture, in_place=True)
    except Exception as error:  # Pillow raises a dozen types
        raise UserError(f"{path} cannot be read as a picture "
                        f"({getattr(error, 'strerror', None) or error}).") from error
    finally:
        Image.MAX_IMAGE_PIXELS = limit
    if picture.mode.startswith("I"):  # 16 bits: 257 * 255 = 65535
        picture = picture.convert("F").point(lambda value: value / 257)
    mode = {"1": "L", "L": "L", "F": "F"}.get(picture.mode, "RGB")
    mode = "RGBA" if picture.has_transparency_data else mode
    return picture if picture.mode == mode else picture.convert(mode), (width, height)


def place_box(path, size, box=None):
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


def find_pictures(words):
    """Return the files that words mean: the pictures in a folder, those that match a pattern."""
    paths = []
    for word in words:
        pattern = os.path.join(glob.escape(word), "*") if os.path.isdir(word) else word
        found = [] if os.path.isfile(word) else sorted(glob.glob(pattern))
        paths += [path for path in found if Image.registered_extensions().get(
            os.path.splitext(path)[1].lower()) in Image.OPEN] or [word]
    return paths


# --convert: the data files, made of the forms in which people have faces.
def convert(source, data_dir):
    """Write `train.csv`, and where there are faces for it `test.csv`, both with labels.

    The source is a CSV file with a column Usage, or a folder of pictures by emotion,
    directly or under `train` and `test`. A file that is there already is a UserError.
    """
    paths = [os.path.join(os.path.abspath(data_dir), name) for name in ("train.csv", "test.csv")]
    for path in filter(os.path.lexists, paths):
        raise UserError(f"{path} is there already, and is not overwritten: name another --data_dir.")
    source = os.path.abspath(source)
    faces = list(read_folders(source) if os.path.isdir(source) else
                 zip(*read_csv(source, {"emotion", "pixels", "usage"})))
    if "training" not in {usage for _, _, usage in faces}:
        raise UserError(f"{source} holds no face to train on: expected folders of pictures named "
                        f"{', '.join(EMOTIONS)}, directly or in one named train.")
    os.makedirs(data_dir, exist_ok=True)
    with contextlib.ExitStack() as both:
        for path in paths:
            rows = [f"{label},{' '.join(map(str, pixels.tolist()))}\n" for label, pixels, usage in faces
                    if (usage == "training") == (path == paths[0])]
            if rows:
                file = both.enter_context(written_whole(path))
                file.writelines(row.encode() for row in ("Emotion,Pixels\n", *rows))
                print(f"{path}: {len(rows)} faces")


def read_folders(source):
    """Read pictures by emotion: yield label, pixels uint8 [2304], and "training" or "test"."""
    variants = (("angry",), ("disgusted",), ("fearful", "afraid", "scared"), ("happiness", "joy"),
                ("sadness",), ("surprised",), ())
    for folder, _, names in sorted(os.walk(source)):
        above, name = os.path.split(os.path.relpath(folder, source).lower())
        usage = ("training" if not above or above.startswith("train") else
                 "test" if above.startswith(("test", "val", "public", "private")) else None)
        labels = [label for label, emotion in enumerate(EMOTIONS)
                  if name in (emotion, str(label), *variants[label])]
        if not usage or not labels:
            if name != "." and any(not name.startswith(".") for name in names):
                notice(f"{folder} is left out: expected {', '.join(EMOTIONS)}, directly or under "
                       "train or test.")
            continue
        count = 0
        for path in filter(os.path.isfile, find_pictures([folder])):
            try:
                yield labels[0], np.rint(read_image(path) * 255).astype(np.uint8).ravel(), usage
                count += 1
            except UserError as error:
                notice(f"Left out: {error}")
        print(f"{folder}: {count} faces, {EMOTIONS[labels[0]]}")


# Pictures and tables of what the network answers.
@contextlib.contextmanager
def written_whole(path):
    """Open a binary file whose content replaces `path` at the end, or not at all."""
    part = f"{path}.{os.getpid()}.part"
    try:
        with open(part, "wb") as file:
            yield file
        os.replace(part, path)
    except (OSError, ValueError) as error:  # no room, or no such format
        raise UserError(f"{os.path.abspath(path)} cannot be written "
                        f"({getattr(error, 'strerror', None) or error}).") from error
    finally:
        with contextlib.suppress(OSError):  # gone already, if all went well
            os.remove(part)


def load_pyplot(show):
    """Return matplotlib's pyplot, for a window or for files: here, as it takes 0.4 s."""
    logging.getLogger("matplotlib").setLevel(logging.ERROR)  # no word of the fonts it finds
    if not show and not INTERACTIVE:
        os.environ["MPLBACKEND"] = "agg"  # a notebook exports one that others may lack
    try:
        from matplotlib import pyplot as plt

        if show:
            plt.switch_backend(plt.get_backend())  # which loads it now
        if show and plt.get_backend().lower() == "agg":
            raise ImportError("no display, or no toolkit such as tkinter, is found")
    except (ImportError, ValueError, RuntimeError) as error:
        raise UserError(f"matplotlib cannot open a window ({error}): --figure=FILE.png writes the "
                        "picture instead.") from error
    return plt


def save_figure(figure, path):
    """Write a matplotlib figure into a file, whole, in the format that its name ends in."""
    with warnings.catch_warnings(), written_whole(path) as file:
        warnings.filterwarnings("ignore", "Glyph")  # a letter that the font lacks becomes a box
        figure.savefig(file, format=os.path.splitext(path)[1][1:].lower(), dpi=100)


def write_answers(path, columns, probabilities):
    """Write a CSV file, a row for each face: {name: n values}, then probabilities [n, 7]."""
    import pandas as pd

    table = pd.DataFrame(columns | dict(zip(EMOTIONS, probabilities.T)))
    with written_whole(path) as file:
        table.to_csv(file, mode="wb", index=False, errors="surrogateescape")


def report(probabilities, labels, path):
    """Print, and draw into a file, what n faces are taken for: probabilities [n, 7], labels [n]."""
    import pandas as pd

    counts, *_ = np.histogram2d(labels, probabilities.argmax(axis=1), range(NUM_LABELS + 1))
    counts = counts.astype(int)  # a row for the truth, a column for the answer
    table = {"faces": counts.sum(axis=1), "found": counts.diagonal()} | dict(zip(EMOTIONS, counts.T))
    print("Faces of each emotion, how many were found, and what they were taken for:")
    print(pd.DataFrame(table, EMOTIONS).to_string())

    figure = load_pyplot(show=False).Figure(figsize=(7, 6), layout="tight")
    axes = figure.subplots()
    axes.imshow(counts, cmap="Blues")
    for row, column in np.ndindex(counts.shape):
        axes.text(column, row, counts[row, column], ha="center", va="center",
                  color="white" if 2 * counts[row, column] > counts.max() else "black")
    axes.set_xticks(range(NUM_LABELS), EMOTIONS, rotation=45)
    axes.set_yticks(range(NUM_LABELS), EMOTIONS)
    axes.set(xlabel="taken for", ylabel="emotion of the face")
    save_figure(figure, path)


def draw_losses(training, validation, path):
    """Draw the two losses, each a dictionary {step: loss}, into a file."""
    figure = load_pyplot(show=False).Figure()
    axes = figure.subplots()
    axes.plot(training.keys(), training.values(), label="training")
    axes.plot(validation.keys(), validation.values(), "o-", label="validation")
    axes.set(xlabel="step", ylabel="loss", ylim=(0, None))
    axes.legend()
    save_figure(figure, path)


def draw_answers(answers, path, show):
    """Draw answers, each a file's name, its box, image [48, 48, 1] and probabilities [7]."""
    plt = load_pyplot(show)
    columns = 1 if len(answers) <= 4 else 2
    rows = -(-len(answers) // columns)
    figure = (plt.figure if show else plt.Figure)(figsize=(9 * columns, 3 * rows))
    panels = figure.subfigures(rows, columns, squeeze=False).flat
    for panel, (name, box, image, probabilities) in zip(panels, answers):
        photograph, seen, bars = panel.subplots(1, 3, width_ratios=(1, 1, 1.2))
        panel.subplots_adjust(left=0.02, right=0.95, bottom=0.16, top=0.88, wspace=0.35)
        picture, size = open_picture(name, "RGB", (400, 400))
        picture.thumbnail((400, 400))
        photograph.imshow(picture.convert("L" if picture.mode == "F" else "RGBA"), cmap="Greys_r",
                          extent=(0, size[0], size[1], 0))
        *corner, width, height = place_box(name, size, box)
        photograph.add_patch(plt.Rectangle(corner, width, height, fill=False, color="r"))
        photograph.set_title(os.path.basename(name)[-32:].encode(errors="replace").decode(),
                             parse_math=False)
        seen.imshow(image[:, :, 0], cmap="Greys_r", vmin=0, vmax=1)
        seen.set_title("what the network saw")
        bars.barh(EMOTIONS, 100 * probabilities)
        bars.set(xlim=(0, 100), xlabel="%", title=EMOTIONS[probabilities.argmax()])
        bars.invert_yaxis()
        photograph.axis("off")
        seen.axis("off")
    if path:
        save_figure(figure, path)
    if show:
        plt.show()


# How a script is run: its start, its end, its signals, its graph.
def ending_signals():
    """The signals that ask a program to end, as far as the system has them and it heeds them."""
    numbers = [getattr(signal, name, None) for name in ("SIGINT", "SIGTERM", "SIGHUP")]
    return [number for number in numbers
            if number and signal.getsignal(number) not in (signal.SIG_IGN, None)]


def start(tensorflow=True):
    """Prepare a script before it defines its flags: signals, a second run, TensorFlow."""
    if not INTERACTIVE and threading.current_thread() is threading.main_thread():
        # Until training starts nothing is lost: a signal, or a closed pipe, ends the script
        for number in (*ending_signals(), getattr(signal, "SIGPIPE", signal.SIGINT)):
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
    """Import TensorFlow in half the time, without Keras, and in silence unless that fails.

    What a user has set in the environment stands; TF_CPP_MIN_LOG_LEVEL=0 shows everything.
    """
    settings = {"TF_CPP_MIN_LOG_LEVEL": "3", "TF_ENABLE_ONEDNN_OPTS": "1",
                "TF_FORCE_GPU_ALLOW_GROWTH": "true", "TF_USE_LEGACY_KERAS": "1"}
    ours = settings.keys() - os.environ.keys()
    os.environ.update({name: settings[name] for name in ours})
    gc.disable()
    with tempfile.TemporaryFile() as said:
        stderr = os.dup(2)
        faulthandler.enable(stderr)  # an abort is told
        if "TF_CPP_MIN_LOG_LEVEL" in ours:
            os.dup2(said.fileno(), 2)
        try:
            import tensorflow.compat.v1  # noqa: F401
        except Exception as error:  # an ImportError, or what a library of another age raises
            said.seek(0)
            os.write(stderr, said.read())
            raise SystemExit(f"Error: TensorFlow cannot be loaded ({error}): "
                             "pip install -r requirements.txt") from error
        finally:
            faulthandler.disable()
            os.dup2(stderr, 2)
            os.close(stderr)
    if "TF_USE_LEGACY_KERAS" in ours:
        del os.environ["TF_USE_LEGACY_KERAS"]  # with it tf.keras fails in this process
    gc.freeze()
    gc.enable()


def run(main, *faults, takes_files=False):
    """Run a script's `main(argv)`; the one place where what ends it is stated in a sentence.

    The faults are further exceptions to state; `takes_files` allows words without a dash.
    Exit status: 0 done, 1 a stated error, 2 wrong usage; or what `main` returns.
    """
    def parse(argv):
        try:
            words = FLAGS(argv)
        except SystemExit:
            sys.exit()  # after --help, for which absl has status 1
        if words[1:] and not takes_files:
            raise flags.Error(f"{words[1]!r} is not a flag")
        for flag in map(FLAGS.__getitem__, FLAGS):
            if isinstance(flag.value, str):
                flag.value = os.path.expanduser(flag.value)
        return words

    with contextlib.suppress(AttributeError):  # a notebook's or IDLE's is of another kind
        # Line by line, so that a log file keeps up with the run; no letter of a path is an error
        sys.stdout.reconfigure(line_buffering=True, errors="backslashreplace")
    try:
        app.run(main, flags_parser=parse)
    except (UserError, flags.Error, OSError, MemoryError, RuntimeError, *faults) as error:
        notice(f"Error: {reason(error).removesuffix('.')}.")
        sys.exit(2 if isinstance(error, flags.Error) else 1)


def reason(error):
    """Say in a line why something failed."""
    while hasattr(error, "node_def") and hasattr(error.__context__, "node_def"):
        error = error.__context__  # TensorFlow's first one, without the graph around it
    if isinstance(error, OSError) and error.strerror:
        name = os.path.abspath(error.filename) if error.filename else "Standard output"
        return f"{name}: {error.strerror}"
    return (str(getattr(error, "message", error)) or type(error).__name__).splitlines()[0]


@contextlib.contextmanager
def held_signals():
    """Put signals that end a program off to the end of the block, which is given their list."""
    came, before = [], {}
    if threading.current_thread() is threading.main_thread():  # no other can set handlers
        before = {number: signal.signal(number, lambda number, _frame: came.append(number))
                  for number in ending_signals()}
    try:
        yield came
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        for number in came:
            signal.raise_signal(number)


@contextlib.contextmanager
def new_graph():
    """Give the function that this decorates a TF1 graph of its own, seeded, for each call."""
    import tensorflow.compat.v1 as tf

    tf.logging.set_verbosity(tf.logging.FATAL)  # not of deprecation; its errors are ours to state
    # The variables of TensorFlow 1: in today's a wrong shape is restored without an error
    with tf.Graph().as_default(), tf.variable_scope("", use_resource=False):
        tf.set_random_seed(0)
        yield


def main(_argv):
    """Look at the data: the chapter's first listing."""
    if FLAGS.convert:  # Not in the book: other forms of data, a file instead of a window
        return convert(FLAGS.convert, FLAGS.data_dir)
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
        return save_figure(plt.gcf(), FLAGS.figure)
    plt.show()


if __name__ == "__main__":
    start(tensorflow=False)
    flags.DEFINE_string("data_dir", "EmotionDetector/", "Path to data files")
    flags.DEFINE_string("figure", None, "File to draw the first face into, instead of a window")
    flags.DEFINE_string("convert", None, "Make the data files in --data_dir of this: a folder of "
                        "pictures by emotion, or a CSV file with a column Usage")
    run(main)
