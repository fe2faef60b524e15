//! Reading a range of a blob: whole frames are read and opened, what was not asked for is cut off.

use super::{
    Binding, BlobError, BlobId, Blobs,
    frame::{self, FRAME, FrameCipher, SEALED, TAG},
};
use bytes::Bytes;
use std::{
    fs::File,
    io::{self, Read, Seek, SeekFrom},
    ops::Range,
    path::PathBuf,
};

/// Frames that are read and opened at once: 512 KiB.
const RUN: u64 = 8;

/// Which blob to read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Source {
    pub(crate) id: BlobId,
    /// Plaintext bytes, as recorded.
    pub(crate) size: u64,
}

/// A blob that is being read. All calls block.
#[derive(Debug)]
pub(crate) struct BlobReader {
    file: File,
    path: PathBuf,
    source: Source,
    cipher: FrameCipher,
    /// What is still to be given out.
    range: Range<u64>,
}

impl BlobReader {
    /// Opens the file; `range` must lie within the blob's size.
    pub(crate) fn open(
        blobs: &Blobs,
        source: Source,
        data_key: &[u8; 32],
        binding: Binding<'_>,
        range: Range<u64>,
    ) -> Result<Self, BlobError> {
        let path = blobs.path(source.id);
        let open = || -> io::Result<(File, u64)> {
            let mut file = File::open(&path)?;
            let length = file.metadata()?.len();
            file.seek(SeekFrom::Start(range.start / FRAME as u64 * SEALED as u64))?;
            Ok((file, length))
        };
        let (file, length) = open().map_err(|error| BlobError::Io { path: path.clone(), source: error })?;
        // A range that ends before the last frame would not notice a file that was cut or extended.
        if length != source.size + frame::count(source.size) * TAG as u64 {
            return Err(BlobError::Damaged(source.id));
        }
        Ok(Self { file, path, source, cipher: FrameCipher::new(data_key, source.id, binding), range })
    }

    pub(crate) fn has_more(&self) -> bool {
        !self.range.is_empty()
    }

    /// The next bytes, in slices of one buffer; none at the end.
    pub(crate) fn next_run(&mut self) -> Result<Vec<Bytes>, BlobError> {
        if self.range.is_empty() {
            return Ok(Vec::new());
        }
        let frame_size = FRAME as u64;
        let frames = frame::count(self.source.size);
        let first = self.range.start / frame_size;
        let end = self.range.end.div_ceil(frame_size).min(first + RUN);
        let plain_end = (end * frame_size).min(self.source.size);
        let sealed = plain_end - first * frame_size + (end - first) * TAG as u64;
        let mut buffer = vec![0; usize::try_from(sealed).map_err(|_| BlobError::Damaged(self.source.id))?];
        self.file.read_exact(&mut buffer).map_err(|source| BlobError::Io { path: self.path.clone(), source })?;
        for (number, sealed_frame) in (first..).zip(buffer.chunks_mut(SEALED)) {
            let counter = u32::try_from(number).map_err(|_| BlobError::Damaged(self.source.id))?;
            self.cipher
                .open(counter, number + 1 == frames, sealed_frame)
                .map_err(|_| BlobError::Damaged(self.source.id))?;
        }
        let buffer = Bytes::from(buffer);
        let mut slices = Vec::new();
        for number in first..end {
            let base = number * frame_size;
            let from = self.range.start.max(base) - base;
            let to = (self.range.end.min(plain_end) - base).min(frame_size);
            let at = (number - first) * SEALED as u64;
            slices.push(buffer.slice(index(at + from)..index(at + to)));
        }
        self.range.start = self.range.end.min(plain_end);
        Ok(slices)
    }
}

/// Places in one run's buffer are below `RUN * SEALED`.
fn index(place: u64) -> usize {
    usize::try_from(place).expect("a place within a few mebibytes")
}

#[cfg(test)]
mod tests {
    use super::{super::BlobWriter, *};
    use std::fs;

    const KEY: [u8; 32] = [9; 32];
    const BINDING: Binding<'static> = Binding { bucket: "bucket", key: "key" };

    struct Written {
        blobs: Blobs,
        source: Source,
        plain: Vec<u8>,
        _dir: tempfile::TempDir,
    }

    fn write(size: usize) -> Written {
        let dir = tempfile::tempdir().unwrap();
        let blobs = Blobs::open(dir.path()).unwrap();
        let plain: Vec<u8> = (0..=250).cycle().take(size).collect();
        let mut writer = BlobWriter::create(&blobs, BlobId::random(), &KEY, BINDING).unwrap();
        for piece in plain.chunks(10_007) {
            writer.write(piece).unwrap();
        }
        let mut finished = writer.finish().unwrap();
        finished.publish().unwrap();
        let source = Source { id: finished.id(), size: finished.size() };
        finished.keep();
        Written { blobs, source, plain, _dir: dir }
    }

    fn read(written: &Written, range: Range<u64>) -> Result<Vec<u8>, BlobError> {
        let mut reader = BlobReader::open(&written.blobs, written.source, &KEY, BINDING, range)?;
        let mut out = Vec::new();
        loop {
            let run = reader.next_run()?;
            if run.is_empty() {
                return Ok(out);
            }
            for slice in run {
                out.extend_from_slice(&slice);
            }
        }
    }

    #[test]
    fn every_range_reads_the_bytes_that_were_written() {
        for size in [0, 1, FRAME - 1, FRAME, FRAME + 1, 3 * FRAME, 20 * FRAME + 5] {
            let written = write(size);
            let end = size as u64;
            let frame = FRAME as u64;
            let edges = [0, 1, frame - 1, frame, frame + 1, 2 * frame, 9 * frame, end.saturating_sub(1), end];
            for from in edges.iter().filter(|from| **from <= end) {
                for to in edges.iter().filter(|to| *to >= from && **to <= end) {
                    let expected = &written.plain[index(*from)..index(*to)];
                    assert!(read(&written, *from..*to).unwrap() == expected, "{size}: {from}..{to}");
                }
            }
        }
    }

    #[test]
    fn a_cut_file_is_refused_also_at_a_frame_boundary() {
        let written = write(3 * FRAME);
        let path = written.blobs.path(written.source.id);
        let bytes = fs::read(&path).unwrap();
        for length in [bytes.len() - 1, 2 * SEALED, SEALED, 0] {
            fs::write(&path, &bytes[..length]).unwrap();
            assert!(matches!(read(&written, 0..10), Err(BlobError::Damaged(_))));
        }
        // A record that was shortened with the file meets the missing last-frame flag.
        fs::write(&path, &bytes[..2 * SEALED]).unwrap();
        let shorter = Written { source: Source { size: 2 * FRAME as u64, ..written.source }, ..written };
        assert!(matches!(read(&shorter, 0..2 * FRAME as u64), Err(BlobError::Damaged(_))));
    }

    #[test]
    fn swapped_frames_and_swapped_files_are_refused() {
        let written = write(3 * FRAME);
        let path = written.blobs.path(written.source.id);
        let bytes = fs::read(&path).unwrap();
        let mut swapped = bytes.clone();
        swapped[..SEALED].copy_from_slice(&bytes[SEALED..2 * SEALED]);
        swapped[SEALED..2 * SEALED].copy_from_slice(&bytes[..SEALED]);
        fs::write(&path, swapped).unwrap();
        assert!(matches!(read(&written, 0..10), Err(BlobError::Damaged(_))));

        let other = write(3 * FRAME);
        fs::write(&path, fs::read(other.blobs.path(other.source.id)).unwrap()).unwrap();
        assert!(matches!(read(&written, 0..10), Err(BlobError::Damaged(_))));
    }

    #[test]
    fn no_plaintext_is_on_disk_and_nothing_stays_of_an_unfinished_blob() {
        let dir = tempfile::tempdir().unwrap();
        let blobs = Blobs::open(dir.path()).unwrap();
        let mut writer = BlobWriter::create(&blobs, BlobId::random(), &KEY, BINDING).unwrap();
        writer.write(&b"secret weights ".repeat(200_000)).unwrap();
        let incoming = dir.path().join("incoming");
        let file = fs::read_dir(&incoming).unwrap().next().unwrap().unwrap().path();
        let bytes = fs::read(file).unwrap();
        assert!(!bytes.is_empty());
        assert!(!bytes.windows(7).any(|window| window == b"weights"));
        drop(writer);
        assert_eq!(fs::read_dir(&incoming).unwrap().count(), 0);
    }
}
