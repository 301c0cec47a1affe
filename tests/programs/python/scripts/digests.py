"""hashlib, zlib, gzip, binascii, base64, struct, pickle: bytes in and out."""
import base64, binascii, gzip, hashlib, hmac, io, pickle, random, struct, tarfile, zipfile, zlib

random.seed(20240229)
data = b"".join(struct.pack("<I", random.getrandbits(32) >> random.randrange(32)) for _ in range(200000))
for name in ["md5", "sha1", "sha224", "sha256", "sha384", "sha512", "sha3_256", "blake2b", "blake2s", "shake_128"]:
    digest = hashlib.new(name, data)
    print(name, digest.hexdigest(*[16] * name.startswith("shake")))
print(hmac.new(b"key", data, hashlib.sha256).hexdigest())
print(hashlib.blake2b(b"keyed", key=b"key", digest_size=20, person=b"person").hexdigest(), hashlib.pbkdf2_hmac("sha256", b"password", b"salt", 1000).hex())
try:
    hashlib.new("no-such-digest")
except ValueError as error:
    print(error)

for level in (1, 6, 9):
    packed = zlib.compress(data, level)
    assert zlib.decompress(packed) == data
    print(level, len(data), len(packed), f"{zlib.crc32(packed):08x} {zlib.adler32(packed):08x}")
stream = zlib.decompressobj()
print(sum(len(stream.decompress(packed[at : at + 1000])) for at in range(0, len(packed), 1000)), stream.eof, len(stream.unused_data))
for broken in (packed[:100], b"not zlib", packed[:-4] + b"\0\0\0\0"):
    try:
        zlib.decompress(broken)
    except zlib.error as error:
        print(error)

file = io.BytesIO()
with gzip.GzipFile(fileobj=file, mode="wb", mtime=0) as archive:
    archive.write(data)
print(len(file.getvalue()), hashlib.sha256(gzip.decompress(file.getvalue())).hexdigest()[:16])
file = io.BytesIO()
with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
    archive.writestr(zipfile.ZipInfo("first"), data[:1000])
    archive.writestr(zipfile.ZipInfo("dir/second"), "text " * 1000)
with zipfile.ZipFile(file) as archive:
    print([(info.filename, info.file_size, info.CRC) for info in archive.infolist()], archive.testzip())
file = io.BytesIO()
with tarfile.open(fileobj=file, mode="w:gz") as archive:
    member = tarfile.TarInfo("member")
    member.size = len(data)
    archive.addfile(member, io.BytesIO(data))
file.seek(0)
with tarfile.open(fileobj=file) as archive:
    print([(member.name, member.size) for member in archive], archive.extractfile("member").read() == data)

print(base64.b64encode(data[:30]), base64.b32encode(b"ampoule"), base64.b85encode(b"ampoule"), binascii.hexlify(data[:8], ":"))
print(struct.pack(">bhiqfd5s?", -1, 2, -3, 4, 0.5, -0.25, b"abc", True).hex(), struct.unpack("<HxB", b"\1\2\3\4"), struct.calcsize("@bnP"))
things = {"list": [1, 2.5, 1 + 2j, None, ...], "set": {frozenset([1])}, "bytes": b"\0\xff", "big": -(2**100), "range": range(3)}
things["itself"] = things
for protocol in range(6):
    again = pickle.loads(pickle.dumps(things, protocol))
    assert again["itself"] is again and again["big"] == things["big"]
    print(protocol, len(pickle.dumps(things, protocol)))
