"""The data of the emotion detector: real faces, drawn ones, and one photograph.

The chapter uses this module and does not print it. Run by itself it is the
chapter's first listing, "look at the data":

    python EmotionDetectorUtils.py [--data_dir=EmotionDetector/]
"""
import codecs
import contextlib
import csv
import gc
import hashlib
import io
import logging
import math
import os
import signal
import struct
import sys
import tempfile
import threading
import warnings
import zipfile
import zlib

import numpy as np
from absl import app, flags
from PIL import Image, ImageOps, UnidentifiedImageError

FLAGS = flags.FLAGS
EMOTIONS = ("anger", "disgust", "fear", "happy", "sad", "surprise", "neutral")
NUM_LABELS = len(EMOTIONS)
IMAGE_SIZE = 48  # pixels, both ways
VALIDATION_PERCENT = 0.1  # the share of train.csv that is kept for validation

DATA_DIR = "EmotionDetector/"
CACHE = "EmotionDetectorData.npz"
CACHED = ("labels", "pixels", "test_pixels", "dropped")
CACHE_VERSION = 1  # to be raised when what the cache holds changes
PRACTICE_FACES = "practice faces"
DATA_SOURCE = "https://inclass.kaggle.com/c/facial-keypoints-detector/data"

NOT_CSV = {  # how a file begins that is not the CSV file it is named after
    b"\x89PNG": "a PNG picture", b"\xff\xd8": "a JPEG picture", b"%PDF": "a PDF file",
    b"PK": "a ZIP archive, to be unpacked", b"\x1f\x8b": "a gzip archive, to be unpacked",
    b"\xff\xfe": "text in UTF-16, to be saved as UTF-8",
    b"\xfe\xff": "text in UTF-16, to be saved as UTF-8",
    b"<": "a web page, not the download itself",
}
DAMAGED_NPZ = (OSError, ValueError, KeyError, TypeError, AttributeError, EOFError,
               NotImplementedError, RuntimeError, zipfile.BadZipFile, zlib.error)
FIGURES = (".png", ".jpg", ".jpeg", ".pdf", ".svg")  # how the name of a drawing ends
IMAGE_FORMATS = ("JPEG", "PNG", "BMP", "GIF", "WEBP")
BAD_IMAGE = (OSError, SyntaxError, ValueError, EOFError, IndexError, KeyError, TypeError,
             OverflowError, MemoryError, struct.error, zlib.error,
             Image.DecompressionBombError, Image.DecompressionBombWarning)


# Not in the book: every end of the program, a user's mistake or Ctrl-C, is one sentence.

class UserError(Exception):
    """What the user can mend; its text is the one sentence that they see."""


def notice(sentence):
    """Say on standard error what does not stop the program."""
    print(sentence, file=sys.stderr)


def quit_at_once(number, _frame):
    """Signal handler for where nothing would be lost."""
    os.write(2, f"Stopped by {signal.Signals(number).name}.\n".encode())
    os._exit(128 + number)


def before_tensorflow():
    """Set up what must stand before TensorFlow loads, which takes it seconds.

    TensorFlow is to print errors alone, unless the user has set it otherwise, and to
    start in half the time: without Keras, of which this program makes no use, and
    without a search for garbage in what it loads, all of which stays (see `run`).
    Ctrl-C and SIGTERM end the process with a sentence, status 130 or 143.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")
    gc.disable()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, quit_at_once)


@contextlib.contextmanager
def held_signals():
    """Put Ctrl-C and SIGTERM off to the end of the block.

    Yields:
        The list of the signals that have come, for the block to look at.
    """
    came = []
    if threading.current_thread() is not threading.main_thread():
        yield came  # Python delivers signals to the main thread alone
        return
    before = {number: signal.signal(number, lambda number, _frame: came.append(number))
              for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield came
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        for number in came:
            signal.raise_signal(number)


def run(main, takes_files=False):
    """Run a script's `main(argv)` as absl's `app.run` does.

    Exit status: 0 done, 1 a stated error, 2 wrong usage, 130 Ctrl-C, 143 SIGTERM,
    141 where the reader of standard output has left.

    Args:
        main: the function; it may return the exit status.
        takes_files: whether words without a dash are allowed on the command line.
    """
    def stated(argv):
        if len(argv) > 1 and not takes_files:
            raise app.UsageError(f"{argv[1]!r} is not a flag.", exitcode=2)
        try:
            return main(argv)
        except UserError as error:
            notice(f"Error: {error}")
            return 1
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 128 + 13  # as SIGPIPE ends other programs
        except OSError as error:
            notice(f"Error: {error.filename or 'Standard output'}: {error.strerror}.")
            return 1

    if not gc.isenabled():
        gc.freeze()  # TensorFlow is loaded, and stays
    before_tensorflow()
    gc.enable()
    # Line by line, so that a log file keeps up with the run; no letter of a path is an error
    sys.stdout.reconfigure(line_buffering=True, errors="backslashreplace")
    app.run(stated)


@contextlib.contextmanager
def written_whole(path):
    """Open a binary file whose content replaces `path` at the end, or not at all.

    Raises:
        UserError: the file cannot be written.
    """
    part = f"{path}.{os.getpid()}.part"
    with held_signals():
        try:
            with open(part, "wb") as file:
                yield file
            os.replace(part, path)
        except OSError as error:
            raise UserError(f"{path} cannot be written ({error.strerror}).") from error
        finally:
            with contextlib.suppress(OSError):  # gone already, if all went well
                os.remove(part)


def check_folder(path):
    """Raise a UserError where no file can be made in a folder."""
    try:
        tempfile.TemporaryFile(dir=path).close()
    except OSError as error:
        raise UserError(f"{path} is no folder to write to ({error.strerror}).") from error


# The data files. The chapter calls read_data and does not print it.

def read_data(data_dir):
    """Read the faces and split off the validation set.

    Called in the chapter's first listing and in its `main`.

    Args:
        data_dir: the folder that holds `train.csv` (columns Emotion, Pixels) and
            perhaps `test.csv` (Pixels). For `DATA_DIR` with neither of them the
            practice faces are drawn.

    Returns:
        train_images, train_labels, valid_images, valid_labels, test_images:
        images float32 [n, 48, 48, 1] in 0..1, labels float32 one-hot [n, 7].

    Raises:
        UserError: a file is missing or damaged.
    """
    if has_no_data(data_dir):
        notice(f"No train.csv in {data_dir}: practising on drawn faces. A model trained on them "
               f"knows nothing of photographs; the real data is at {DATA_SOURCE}")
        labels, pixels = draw_faces(4178, seed=0)
        _, test_pixels = draw_faces(1312, seed=1)
    else:
        labels, pixels, test_pixels = read_files(data_dir)

    one_hot = np.eye(NUM_LABELS, dtype=np.float32)[labels]
    order = np.random.RandomState(0).permutation(len(labels))
    size = int(len(labels) * VALIDATION_PERCENT)
    valid, train = order[:size], order[size:]
    return (to_images(pixels[train]), one_hot[train],
            to_images(pixels[valid]), one_hot[valid], to_images(test_pixels))


def to_images(pixels):
    """Turn pixels uint8 [n, 2304] into the network's images float32 [n, 48, 48, 1] in 0..1."""
    return np.divide(pixels, 255, dtype=np.float32).reshape(-1, IMAGE_SIZE, IMAGE_SIZE, 1)


def has_no_data(data_dir):
    """Whether `data_dir` is the default folder and holds neither data file."""
    return data_dir == DATA_DIR and not any(
        os.path.lexists(os.path.join(data_dir, name)) for name in ("train.csv", "test.csv"))


def find_data(data_dir):
    """Return the path of `train.csv` in a folder that must hold it.

    Raises:
        UserError: it is not there.
    """
    path = os.path.join(data_dir, "train.csv")
    try:
        os.stat(path)
    except OSError as error:
        raise UserError(f"{os.path.abspath(path)}: {error.strerror}. Put train.csv and test.csv "
                        f"of {DATA_SOURCE} there, or name their folder with --data_dir.") from error
    return path


def find_named_data(flag):
    """Raise a UserError where the folder that the flag --data_dir was given holds no train.csv."""
    if not flag.using_default_value:
        find_data(flag.value)


def training_data(data_dir):
    """Name the faces that training on `data_dir` uses: by content, whatever the file's date.

    Returns:
        "sha256:" and the digest of train.csv, or `PRACTICE_FACES`.
    """
    return PRACTICE_FACES if has_no_data(data_dir) else digest(find_data(data_dir))


def digest(path):
    """Return "sha256:" and the hexadecimal digest of a file's content."""
    content = hashlib.sha256()
    try:
        with open(path, "rb") as file:
            while chunk := file.read(1 << 20):
                content.update(chunk)
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}).") from error
    return f"sha256:{content.hexdigest()}"


def read_files(data_dir):
    """Read `train.csv` and `test.csv`, from the cache where they have not changed.

    Returns:
        labels uint8 [n] in 0..6, pixels uint8 [n, 2304], test_pixels uint8 [m, 2304].
    """
    train_path, test_path = find_data(data_dir), os.path.join(data_dir, "test.csv")
    with_test = os.path.lexists(test_path)
    key = f"{CACHE_VERSION} {digest(train_path)} {digest(test_path) if with_test else 'none'}"
    cache = os.path.join(data_dir, CACHE)
    data = load_cache(cache, key)
    if data is None:
        labels, pixels, dropped = read_csv(train_path)
        if len(labels) * VALIDATION_PERCENT < 1:
            raise UserError(f"{train_path} holds {len(labels)} faces, expected at least 10, "
                            "so that one in ten can be kept for validation.")
        none = np.empty((0, pixels.shape[1]), np.uint8)
        _, test_pixels, test_dropped = (
            read_csv(test_path, labelled=False) if with_test else (None, none, 0))
        data = dict(zip(CACHED, (labels, pixels, test_pixels, np.array([dropped, test_dropped]))))
        archive = io.BytesIO()  # on a full disk Python 3.10 trips over a half-written one
        np.savez(archive, key=key, **data)
        try:
            with written_whole(cache) as file:
                file.write(archive.getbuffer())
        except UserError as error:
            notice(f"The faces were not cached: {error}")
    for path, dropped in zip((train_path, test_path), data["dropped"]):
        if dropped:
            notice(f"{path}: rows dropped because a value is missing: {dropped}.")
    return data["labels"], data["pixels"], data["test_pixels"]


def load_cache(path, key):
    """Return the arrays of the cache, or None where there is none for `key`."""
    try:
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as cache:
            return {name: cache[name] for name in CACHED} if cache["key"] == key else None
    except FileNotFoundError:
        return None
    except DAMAGED_NPZ as error:
        notice(f"{path} is damaged and is made again ({error}).")
        return None


def read_csv(path, labelled=True):
    """Read one of Kaggle's two files; the one place where their rows are checked.

    Not with pandas, as in the book: the standard library's reader tells the line in
    which a row stands, and holds one row at a time.

    Args:
        path: the file; its columns may stand in any order and in any case.
        labelled: whether it must have the column Emotion.

    Returns:
        labels uint8 [n], pixels uint8 [n, 2304], and how many rows were dropped
        because a value is missing. Without Emotion all labels are 0.

    Raises:
        UserError: file, line, what was found and what was expected.
    """
    check_is_text(path)
    labels, pixels, dropped = bytearray(), bytearray(), 0
    with (open(path, encoding="utf-8-sig", errors="replace", newline="") as file,
          warnings.catch_warnings()):
        warnings.simplefilter("error", DeprecationWarning)  # np.fromstring's, in NumPy 1
        rows = csv.reader(file, strict=True)
        try:
            header = [name.strip().lower() for name in next(rows, [])]
            for name in ("Emotion", "Pixels") if labelled else ("Pixels",):
                if name.lower() not in header:
                    found = " ".join(", ".join(header)[:200].split())  # on one line
                    raise ValueError(f"no column {name} among {found}")
            for row in filter(None, rows):  # an empty line is no row
                cells = dict(zip(header, row))
                emotion = cells.get("emotion", "") if labelled else "0"
                faces = cells.get("pixels", "")
                if is_missing(emotion) or is_missing(faces):
                    dropped += 1
                else:
                    label, values = parse_emotion(emotion), parse_pixels(faces)
                    labels.append(label)
                    pixels += values
            if not labels:
                raise ValueError("no row with a face follows")
        except (csv.Error, ValueError, EOFError) as fault:
            sentence = f"{path}, line {rows.line_num}: {fault}."
            if "end of data" in str(fault) or (
                    isinstance(fault, EOFError) and not file.read(1) and not ends_in_newline(path)):
                sentence += (f" The file ends early, after {len(labels) + dropped} whole rows: "
                             "download it again.")
            raise UserError(sentence) from fault
    return (np.frombuffer(labels, np.uint8),
            np.frombuffer(pixels, np.uint8).reshape(-1, IMAGE_SIZE * IMAGE_SIZE), dropped)


def check_is_text(path):
    """Raise a UserError that says what a file is which cannot be a CSV file."""
    with open(path, "rb") as file:
        start = file.read(512)
    if not start.removeprefix(codecs.BOM_UTF8).strip():
        raise UserError(f"{path} is empty: download it again.")
    seems = next((kind for magic, kind in NOT_CSV.items() if start.startswith(magic)), None)
    if seems or b"\0" in start:
        raise UserError(f"{path} is not a CSV file: it seems to be {seems or 'no text at all'}.")


def ends_in_newline(path):
    """Whether the last line of a file is whole."""
    with open(path, "rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read() in (b"\n", b"\r")


def is_missing(cell):
    """Whether a cell of a CSV file is empty, or says so in a word."""
    return cell.strip().lower() in ("", "na", "nan", "null", "none")


def parse_emotion(text):
    """Turn a cell of the column Emotion into a label 0..6, or raise a ValueError."""
    try:
        label = float(text)  # pandas writes 3 as 3.0 where a value is missing elsewhere
    except ValueError:
        label = None
    if label not in range(NUM_LABELS):
        raise ValueError(f"Emotion is {text.strip()[:20]!r}, expected a whole number "
                         f"from 0 (anger) to {NUM_LABELS - 1} (neutral)")
    return int(label)


def parse_pixels(text):
    """Turn a cell of the column Pixels into 2304 bytes.

    Raises:
        ValueError: something is no number from 0 to 255.
        EOFError: there are not 2304 of them, which may be where a file was cut off.
    """
    size = IMAGE_SIZE * IMAGE_SIZE
    try:
        values = np.fromstring(text, dtype=np.int64, sep=" ")
    except (ValueError, DeprecationWarning):
        values = np.empty(0)  # the words below tell which of them is no number
    if len(values) == size and values.min() >= 0 and values.max() <= 255:
        return values.astype(np.uint8).tobytes()
    words = text.split()
    for word in words:
        if not (word.isascii() and word.isdecimal() and int(word) <= 255):
            raise ValueError(f"Pixels holds {word[:20]!r}, expected whole numbers from 0 to 255")
    if len(words) != size:
        raise EOFError(f"Pixels holds {len(words)} values, expected "
                       f"{IMAGE_SIZE}x{IMAGE_SIZE} = {size}")
    return bytes(map(int, words))


# Not in the book: faces to practise on where there is no data.

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
    """Draw practice faces, the same on every machine.

    Only sums, products, quotients and square roots of float32 take part, whose last
    bit IEEE 754 fixes: a sine or a normal deviate is rounded otherwise elsewhere.

    Args:
        count: how many faces.
        seed: which faces.

    Returns:
        labels uint8 [count] in 0..6, pixels uint8 [count, 2304].
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


# Not in the book, which read a photograph with SciPy: any picture as the network sees it.

def read_image(path, box=None):
    """Read one photograph as training reads its faces.

    Args:
        path: a JPEG, PNG, BMP, GIF (its first frame) or WebP file.
        box: LEFT, TOP, WIDTH, HEIGHT of the face, in pixels of the upright
            photograph, as numbers or their texts; None for the largest square in the
            middle.

    Returns:
        The image float32 [48, 48, 1] in 0..1.

    Raises:
        UserError: the file is no picture, or the box does not lie in it.
    """
    picture = open_image(path)
    left, top, width, height = place_box(path, picture.size, box)
    rows, columns = area_weights(top, height), area_weights(left, width)
    right, down = math.floor(left), math.floor(top)
    small = np.zeros((IMAGE_SIZE, columns.shape[1]), np.float32)
    for start in range(0, rows.shape[1], 256):  # in strips, for pictures that fill the memory
        weights = rows[:, start:start + 256]
        strip = picture.crop((right, down + start, right + columns.shape[1],
                              down + start + weights.shape[1]))
        small += weights @ to_grey(strip)
    return to_images(small @ columns.T)[0]


def open_image(path):
    """Open a picture upright, the one place where image files are checked.

    Returns:
        A loaded `PIL.Image.Image`.

    Raises:
        UserError: what is wrong with the file.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of odd metadata, as long as there is a picture
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path, formats=IMAGE_FORMATS) as picture:
                picture.load()
                ImageOps.exif_transpose(picture, in_place=True)
                return picture
    except UnidentifiedImageError as error:
        raise UserError(f"{path} is no picture, or of another kind than "
                        f"{', '.join(IMAGE_FORMATS)}.") from error
    except BAD_IMAGE as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"{path} cannot be read as a picture ({reason}).") from error


def to_grey(picture):
    """Turn a picture of any mode into grey values float32 [h, w] in 0..255."""
    if picture.mode.startswith("I"):  # 16 bits: 257 * 255 = 65535
        return np.asarray(picture).astype(np.float32) / 257
    if picture.has_transparency_data:
        white = Image.new("RGBA", picture.size, "white")
        picture = Image.alpha_composite(white, picture.convert("RGBA"))
    # Pillow's L is the book's 0.299 R + 0.587 G + 0.114 B; from CMYK it goes by way of RGB
    return np.asarray(picture.convert("RGB").convert("L"), dtype=np.float32)


def place_box(path, size, box=None):
    """Return left, top, width, height of what is used of a picture of size (width, height).

    Raises:
        UserError: the box is not four numbers, or not within the picture.
    """
    if box is None:
        side = min(size)
        return (size[0] - side) // 2, (size[1] - side) // 2, side, side
    try:
        left, top, width, height = map(float, box)
    except ValueError:
        left = math.nan
    if not (0 <= left < left + width <= size[0] and 0 <= top < top + height <= size[1]):
        raise UserError(f"--box={','.join(map(str, box))} does not lie in {path}, which is "
                        f"{size[0]} pixels wide and {size[1]} high: "
                        "expected LEFT,TOP,WIDTH,HEIGHT.")
    return left, top, width, height


def area_weights(start, length):
    """How much each pixel counts in the 48 means that a row of pixels is shrunk to.

    Args:
        start: where the row begins, in pixels.
        length: how long it is, in pixels.

    Returns:
        float32 [48, m] for the m pixels that the row touches; each line adds up to 1.
    """
    edges = start % 1 + length * np.arange(IMAGE_SIZE + 1) / IMAGE_SIZE
    pixels = np.arange(math.ceil(edges[-1]))
    overlap = np.minimum(edges[1:, None], pixels + 1) - np.maximum(edges[:-1, None], pixels)
    return (np.maximum(overlap, 0) * IMAGE_SIZE / length).astype(np.float32)


# Not in the book: pictures and tables of what the network answers.

def check_output(path, endings):
    """Raise a UserError where a file whose name has one of the endings cannot be written."""
    if not path.lower().endswith(endings):
        raise UserError(f"{path}: expected a name that ends in {', '.join(endings)}.")
    check_folder(os.path.dirname(path) or ".")
    if os.path.isdir(path):
        raise UserError(f"{path} is a folder, expected the name of a file.")


def present(draw, path=None, show=False):
    """Draw a figure into a file, a window, or both.

    Args:
        draw: a function that is given the empty `Figure`.
        path: the file to write; its ending tells the format.
        show: whether to open a window and wait until it is closed.

    Raises:
        UserError: the file cannot be written, or there is no window to be had.
    """
    logging.getLogger("matplotlib").setLevel(logging.WARNING)  # no word of the fonts it finds
    try:
        from matplotlib import pyplot as plt  # here, since it takes a third of a second

        figure = plt.figure() if show else plt.Figure()
    except (ImportError, RuntimeError, ValueError) as error:
        raise UserError(f"matplotlib cannot start ({error}): is MPLBACKEND set wrongly?") from error
    warnings.filterwarnings("ignore", "Glyph")  # a letter that the font lacks becomes a box
    draw(figure)
    if path:
        with written_whole(path) as file:
            figure.savefig(file, format=os.path.splitext(path)[1][1:].lower(), dpi=100)
    if show:
        if figure.canvas.required_interactive_framework is None:
            raise UserError("A window needs a display and a toolkit that matplotlib can use, "
                            "such as tkinter; --figure=FILE.png writes the picture instead.")
        plt.show()


def write_answers(path, columns, probabilities):
    """Write a CSV file, whole or not at all: a row for each face.

    Args:
        path: the file.
        columns: {name: n values}, what stands before the probabilities.
        probabilities: float32 [n, 7], a column for each emotion.
    """
    import pandas as pd  # here, as it takes a fifth of a second

    table = pd.DataFrame(columns | dict(zip(EMOTIONS, probabilities.T)))
    with written_whole(path) as file:
        table.to_csv(file, mode="wb", index=False, errors="surrogateescape")


def write_predictions(probabilities, folder):
    """Write what the faces of a test set [n, 7] are taken for: `predictions.csv` in a folder."""
    write_answers(os.path.join(folder, "predictions.csv"),
                  {"Id": range(1, len(probabilities) + 1),
                   "Emotion": probabilities.argmax(axis=1)}, probabilities)


def print_accuracy(probabilities, labels, train_labels):
    """Print how many faces are told right, and how many one constant answer gets.

    Args:
        probabilities: float32 [n, 7] of the validation set.
        labels: one-hot float32 [n, 7].
        train_labels: one-hot float32 [m, 7], which tell the most frequent emotion.
    """
    truth, usual = labels.argmax(axis=1), train_labels.sum(axis=0).argmax()
    print(f"Validation Accuracy: {np.mean(probabilities.argmax(axis=1) == truth):f}")
    print(f"Always answering {EMOTIONS[usual]}: {np.mean(truth == usual):f}")


def report(probabilities, labels, folder):
    """Print which faces are taken for what; draw it as `confusion_matrix.png` in a folder.

    Args:
        probabilities: float32 [n, 7] of n faces.
        labels: one-hot float32 [n, 7], what they really show.
        folder: where to draw.
    """
    import pandas as pd

    counts = np.zeros((NUM_LABELS, NUM_LABELS), int)  # a row for the truth, a column for the answer
    np.add.at(counts, (labels.argmax(axis=1), probabilities.argmax(axis=1)), 1)
    table = pd.DataFrame(counts, index=EMOTIONS, columns=EMOTIONS)
    table.insert(0, "faces", counts.sum(axis=1))
    table.insert(1, "found", counts.diagonal())
    print("Faces of each emotion, how many were found, and what they were taken for:")
    print(table.to_string())
    present(lambda figure: draw_answer_counts(figure, counts),
            os.path.join(folder, "confusion_matrix.png"))


def draw_answers(figure, answers):
    """Draw a row for each image: the photograph, what the network saw, a bar per emotion.

    Args:
        figure: an empty figure.
        answers: (path, box, image [48, 48, 1], probabilities [7]) of each image.
    """
    columns = 1 if len(answers) <= 4 else 2
    rows = -(-len(answers) // columns)
    figure.set_size_inches(9 * columns, 3 * rows)
    panels = figure.subfigures(rows, columns, squeeze=False).flat
    for panel, (path, box, image, probabilities) in zip(panels, answers):
        photograph, seen, bars = panel.subplots(1, 3, width_ratios=(1, 1, 1.2))
        panel.subplots_adjust(left=0.02, right=0.95, bottom=0.16, top=0.88, wspace=0.35)
        picture = open_image(path)
        left, top, width, height = place_box(path, picture.size, box)
        photograph.imshow(thumbnail(picture), cmap="Greys_r",
                          extent=(0, picture.width, picture.height, 0))
        right, bottom = left + width, top + height
        photograph.plot([left, right, right, left, left], [top, top, bottom, bottom, top], "r")
        name = os.path.basename(path)[-32:].encode(errors="replace").decode()
        photograph.set_title(name, parse_math=False)
        seen.imshow(image[:, :, 0], cmap="Greys_r", vmin=0, vmax=1)
        seen.set_title("what the network saw")
        bars.barh(EMOTIONS, 100 * probabilities)
        bars.set(xlim=(0, 100), xlabel="%")
        bars.invert_yaxis()
        bars.set_title(EMOTIONS[probabilities.argmax()])
        for axes in photograph, seen:
            axes.axis("off")


def thumbnail(picture):
    """Return a small copy of a picture, in colour where it has any."""
    if picture.mode.startswith("I"):
        small = Image.fromarray(to_grey(picture).astype(np.uint8))
    else:
        small = picture.convert("RGBA")
    small.thumbnail((400, 400))
    return small


def draw_losses(figure, training, validation):
    """Draw the two losses, each a dictionary {step: loss}."""
    axes = figure.subplots()
    axes.plot(training.keys(), training.values(), label="training")
    axes.plot(validation.keys(), validation.values(), "o-", label="validation")
    axes.set(xlabel="step", ylabel="loss", ylim=(0, None))
    axes.legend()


def draw_answer_counts(figure, counts):
    """Draw how many faces [7, 7] of each emotion (row) are taken for which (column)."""
    figure.set_size_inches(7, 6)
    axes = figure.subplots()
    axes.imshow(counts, cmap="Blues")
    for row, column in np.ndindex(counts.shape):
        axes.text(column, row, counts[row, column], ha="center", va="center",
                  color="white" if 2 * counts[row, column] > counts.max() else "black")
    ticks = range(NUM_LABELS)
    axes.set_xticks(ticks, EMOTIONS, rotation=45)
    axes.set_yticks(ticks, EMOTIONS)
    axes.set(xlabel="taken for", ylabel="emotion of the face")
    figure.tight_layout()


def main(_argv):
    """Look at the data: the chapter's first listing."""
    # Not in the book: only the default folder may be without data; a file instead of a window
    find_named_data(FLAGS["data_dir"])
    if FLAGS.figure:
        check_output(FLAGS.figure, FIGURES)

    train_images, train_labels, _, _, test_images = read_data(FLAGS.data_dir)
    print("train images shape = ", train_images.shape)
    print("train labels shape = ", train_labels.shape)
    print("test labels shape = ", test_images.shape)

    image_0 = train_images[0]
    label_0 = train_labels[0]
    print("image_0 shape = ", image_0.shape)
    print("label set = ", label_0)
    image_0 = np.resize(image_0, (48, 48))

    present(lambda figure: figure.subplots().imshow(image_0, cmap='Greys_r'),
            FLAGS.figure, show=not FLAGS.figure)


if __name__ == "__main__":
    flags.DEFINE_string("data_dir", DATA_DIR, "Path to data files")
    flags.DEFINE_string("figure", None, "File to draw the first face into, instead of a window")
    run(main)
