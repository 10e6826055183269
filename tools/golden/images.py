"""Source pictures (tests/golden/images) and what Pillow decodes them to (cases/decode)."""

import io
import struct
import warnings
import zlib

import numpy as np
from PIL import Image, ImageOps

from .common import TREE, rng


def picture(name, w, h, channels=3):
    """A gradient with a disc and noise: smooth parts and sharp ones. uint8 (h,w,channels)."""
    r = rng("picture", name)
    y, x = np.mgrid[0:h, 0:w].astype(np.float64)
    planes = []
    for c in range(channels):
        a, b = r.uniform(-1, 1, 2)
        plane = 128 + 110 * np.sin(3 * (a * x / max(w, 8) + b * y / max(h, 8)) + c)
        cy, cx, rad = r.uniform(0, h), r.uniform(0, w), 0.3 * min(w, h) + 1
        plane = np.where((y - cy) ** 2 + (x - cx) ** 2 < rad**2, 255 - plane, plane)
        planes.append(plane + r.normal(0, 18, (h, w)))
    return np.clip(np.stack(planes, -1), 0, 255).astype(np.uint8)


# ---------------------------------------------------------------- PNG, the kinds that Pillow cannot write
def _filtered(rows, bpp):
    """Scanlines (n, bytes) with the five PNG filters in turn."""
    rows, out = rows.astype(np.int32), bytearray()
    for i, row in enumerate(rows):
        up = rows[i - 1] if i else np.zeros_like(row)
        left = np.concatenate([np.zeros(bpp, np.int32), row[:-bpp]])[: len(row)]
        upleft = np.concatenate([np.zeros(bpp, np.int32), up[:-bpp]])[: len(row)]
        p = left + up - upleft
        pa, pb, pc = abs(p - left), abs(p - up), abs(p - upleft)
        paeth = np.where((pa <= pb) & (pa <= pc), left, np.where(pb <= pc, up, upleft))
        kind = i % 5
        pred = [0, left, up, (left + up) // 2, paeth][kind]
        out += bytes([kind]) + ((row - pred) % 256).astype(np.uint8).tobytes()
    return bytes(out)


def _scanlines(samples, depth):
    """Samples (h,w,c) to packed scanlines (h, bytes), big-endian."""
    h = samples.shape[0]
    flat = samples.reshape(h, -1)
    if depth == 16:
        return flat.astype(">u2").view(np.uint8).reshape(h, -1)
    if depth == 8:
        return flat.astype(np.uint8)
    bits = (flat[:, :, None] >> np.arange(depth - 1, -1, -1)) & 1
    return np.packbits(bits.reshape(h, -1).astype(np.uint8), axis=1)


def png(samples, depth, colour, interlace=False, extra=()):
    """A PNG file. samples (h,w,c) integers; colour is the PNG colour type; extra are (tag, data) chunks."""
    h, w, c = samples.shape
    bpp = max(1, depth * c // 8)
    adam7 = [(0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1)]
    passes = [samples[y::dy, x::dx] for y, x, dy, dx in (adam7 if interlace else [(0, 0, 1, 1)])]
    data = b"".join(_filtered(_scanlines(p, depth), bpp) for p in passes if p.size)

    def chunk(tag, body):
        return struct.pack(">I", len(body)) + tag + body + struct.pack(">I", zlib.crc32(tag + body))

    head = struct.pack(">IIBBBBB", w, h, depth, colour, 0, 0, int(interlace))
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", head)
        + b"".join(chunk(t, b) for t, b in extra)
        + chunk(b"IDAT", zlib.compress(data, 9))
        + chunk(b"IEND", b"")
    )


# ---------------------------------------------------------------- the reference decoder
def decode(path):
    """uint8 (H,W,3): Pillow's RGB after EXIF orientation. 16-bit grey is its high byte (Pillow would clip)."""
    warnings.filterwarnings("ignore", "Palette images with Transparency")  # dropping the alpha is what is wanted
    with Image.open(path) as im:
        im = ImageOps.exif_transpose(im)
        if im.mode.startswith("I"):
            high = (np.asarray(im).astype(np.uint32) >> 8).astype(np.uint8)
            return np.repeat(high[:, :, None], 3, axis=2)
        return np.array(im.convert("RGB"))


def make(out):
    def save(name, image, **options):
        f = io.BytesIO()
        image.save(f, **options)
        out.bytes("images/" + name, f.getvalue())

    def rgb(name, w, h):
        return Image.fromarray(picture(name, w, h))

    # Shapes for the model cases: aligned, odd, square, thin, one pixel.
    for w, h in [(64, 48), (53, 37), (40, 40), (33, 31), (150, 9), (7, 120), (1, 1), (96, 32)]:
        save(f"rgb_{w}x{h}.png", rgb(f"rgb_{w}x{h}", w, h), format="PNG", optimize=True)

    # JPEG: chroma layouts, grey, progressive, CMYK, the eight orientations.
    save("j444.jpg", rgb("j444", 45, 30), format="JPEG", quality=90, subsampling=0)
    save("j422.jpg", rgb("j422", 45, 31), format="JPEG", quality=85, subsampling=1)
    save("j420.jpg", rgb("j420", 47, 31), format="JPEG", quality=80, subsampling=2)
    save("progressive.jpg", rgb("progressive", 50, 34), format="JPEG", quality=85, progressive=True)
    save("grey.jpg", rgb("jgrey", 31, 22).convert("L"), format="JPEG", quality=85)
    cmyk = Image.fromarray(picture("cmyk", 30, 20, 4), mode="CMYK")
    save("cmyk.jpg", cmyk, format="JPEG", quality=90)
    for o in range(1, 9):
        exif = Image.Exif()
        exif[0x0112] = o
        save(f"exif{o}.jpg", rgb("exif", 24, 15), format="JPEG", quality=85, exif=exif)
    exif = Image.Exif()
    exif[0x0112] = 6
    save("exif6.png", rgb("exif6", 20, 11), format="PNG", exif=exif)
    save("exif8.webp", rgb("exif8", 20, 11), format="WEBP", lossless=True, exif=exif)

    # PNG: every depth and colour type.
    for depth in (1, 2, 4, 8, 16):
        v = picture(f"g{depth}", 21, 13, 1).astype(np.uint32)
        v = v * 257 + rng("g16").randint(-200, 200, v.shape) if depth == 16 else v >> (8 - depth)
        v = np.clip(v, 0, 2**depth - 1)
        out.bytes(f"images/grey{depth}.png", png(v, depth, 0))
        out.bytes(f"images/grey{depth}_i.png", png(v, depth, 0, True))
    palette = picture("palette", 256, 1)[0]
    for depth in (1, 2, 4, 8):
        n = 2**depth
        v = picture(f"p{depth}", 19, 14, 1).astype(np.uint32) >> (8 - depth)
        chunks = [(b"PLTE", palette[:n].tobytes()), (b"tRNS", bytes(range(0, min(n, 40))))]
        out.bytes(f"images/palette{depth}.png", png(v, depth, 3, depth == 4, chunks))
    c16 = picture("c16", 18, 12, 4).astype(np.uint32) * 256 + rng("c16").randint(0, 256, (12, 18, 4))
    out.bytes("images/rgb16.png", png(c16[:, :, :3], 16, 2))
    out.bytes("images/rgba16_i.png", png(c16, 16, 6, True))
    out.bytes("images/la16.png", png(c16[:, :, :2], 16, 4))
    c8 = picture("c8", 23, 17, 4)
    out.bytes("images/rgb_i.png", png(c8[:, :, :3], 8, 2, True))
    out.bytes("images/rgba.png", png(c8, 8, 6))
    out.bytes("images/la_i.png", png(c8[:, :, :2], 8, 4, True))
    key = struct.pack(">HHH", *map(int, c8[3, 4, :3]))
    out.bytes("images/rgb_key.png", png(c8[:, :, :3], 8, 2, False, [(b"tRNS", key)]))

    # WebP: lossy, lossless, alpha in both.
    save("lossy.webp", rgb("lossy", 46, 29), format="WEBP", quality=80)
    save("lossless.webp", rgb("lossless", 25, 18), format="WEBP", lossless=True)
    rgba = Image.fromarray(picture("walpha", 27, 19, 4), mode="RGBA")
    save("alpha.webp", rgba, format="WEBP", quality=80)
    save("alpha_lossless.webp", rgba, format="WEBP", lossless=True, exact=True)

    index = []
    for p in sorted((out.root / "images").iterdir()):
        out.npy(f"cases/decode/{p.name}.npy", decode(p))
        index.append({"image": f"images/{p.name}", "rgb": f"{p.name}.npy"})
    y, x, h, w = box = (100, 150, 40, 60)  # the photograph's decoded pixels would be too many
    out.npy("cases/decode/cat.jpg.npy", decode(TREE / "examples/cat.jpg")[y : y + h, x : x + w])
    index.append({"image": "../../examples/cat.jpg", "rgb": "cat.jpg.npy", "crop": list(box)})
    out.json("cases/decode/index.json", index)
