//! Checkpoint streams: the application's part of a checkpoint, to be read and to be written.

use std::ffi::{CString, c_char, c_void};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::Arc;

use rsl_core::replica::StateReader;
use rsl_core::storage::{CheckpointReader, CheckpointRewrite, OsDisk};

use crate::codes::{
    RSL_E_STATE, RSL_WIN32_ACCESS_DENIED, RSL_WIN32_CRC, RSL_WIN32_HANDLE_EOF, RSL_WIN32_INVALID_HANDLE,
    RSL_WIN32_INVALID_PARAMETER, RSL_WIN32_OK, rsl_win32, win32,
};
use crate::fatal::c_text;
use crate::guard::{Fail, born, dead};

/// A checkpoint to be read. Used by one thread at a time.
pub struct rsl_reader {
    _opaque: (),
}

/// A checkpoint to be written. Used by one thread at a time.
pub struct rsl_writer {
    _opaque: (),
}

/// Longest file name in bytes [API-39].
const MAX_PATH: usize = 65_534;
/// How much is read at a time where the file does not say.
const CHUNK: u64 = 64 << 20;
const SKIP: usize = 1 << 20;

enum Source<'a> {
    /// In `load_state`: the library's.
    State(&'a mut dyn StateReader),
    /// Opened by the application.
    File(Box<CheckpointReader>),
}

/// What is behind `rsl_reader`.
pub(crate) struct Reader<'a> {
    source: Source<'a>,
    path: CString,
    size: u64,
    position: u64,
    /// What `rsl_reader_data_pointer` points into.
    buffer: Vec<u8>,
}

impl<'a> Reader<'a> {
    pub(crate) fn borrowed(state: &'a mut dyn StateReader) -> Reader<'a> {
        let path = c_text(&state.path().to_string_lossy());
        let size = state.size();
        Reader { source: Source::State(state), path, size, position: 0, buffer: Vec::new() }
    }

    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = match &mut self.source {
            Source::State(state) => state.read(into),
            Source::File(file) => file.read(into),
        }?;
        self.position += count as u64;
        Ok(count)
    }

    fn move_to(&mut self, position: u64) -> io::Result<()> {
        match &mut self.source {
            Source::State(state) => state.seek(SeekFrom::Start(position)),
            Source::File(file) => file.seek(SeekFrom::Start(position)),
        }?;
        self.position = position;
        Ok(())
    }

    /// Reads up to `want` bytes into the buffer; less where a block ends [API-33].
    fn fill(&mut self, want: u64) -> io::Result<()> {
        let mut buffer = std::mem::take(&mut self.buffer);
        buffer.clear();
        let want = want.min(self.size - self.position);
        while (buffer.len() as u64) < want {
            let start = buffer.len();
            let step = usize::try_from((want - start as u64).min(CHUNK)).unwrap_or(usize::MAX);
            buffer.try_reserve(step).map_err(|_| io::ErrorKind::OutOfMemory)?;
            buffer.resize(start + step, 0);
            let count = self.read(&mut buffer[start..])?;
            buffer.truncate(start + count);
            if count < step {
                break;
            }
        }
        self.buffer = buffer;
        Ok(())
    }

    /// Moves on; every block passed is verified [API-37].
    fn skip(&mut self, count: u64) -> rsl_win32 {
        let past_end = count > self.size - self.position;
        let mut left = count.min(self.size - self.position);
        let mut buffer = vec![0; usize::try_from(left).unwrap_or(SKIP).min(SKIP)];
        while left > 0 {
            let step = usize::try_from(left).unwrap_or(SKIP).min(SKIP);
            match self.read(&mut buffer[..step]) {
                Ok(0) => return RSL_WIN32_CRC,
                Ok(read) => left -= read as u64,
                Err(error) => return win32(&error),
            }
        }
        if past_end { RSL_WIN32_HANDLE_EOF } else { RSL_WIN32_OK }
    }

    /// [API-38] [HARD-527] [HARD-528] [HARD-529]
    fn seek(&mut self, offset: u64) -> rsl_win32 {
        let target = offset.min(self.size);
        let moved = self.move_to(target).and_then(|()| {
            if target < self.size {
                // The block is needed by the next read: verify it now.
                self.read(&mut [0])?;
                self.move_to(target)?;
            }
            Ok(())
        });
        match moved {
            Err(error) => win32(&error),
            Ok(()) if offset > self.size => RSL_WIN32_HANDLE_EOF,
            Ok(()) => RSL_WIN32_OK,
        }
    }
}

/// A stream result from a body that may also fail for its arguments.
fn answer(code: rsl_win32, result: &mut rsl_win32) -> Result<(), Fail> {
    *result = code;
    Ok(())
}

/// Runs the body of a stream function: wrong arguments give ERROR_INVALID_PARAMETER.
macro_rules! stream {
    ([$($name:ident = $how:ident($($argument:expr),*)),* $(,)?] $body:block) => {{
        let mut code = RSL_WIN32_INVALID_PARAMETER;
        guard!(status, [$($name = $how($($argument),*)),*] { answer($body, &mut code) });
        code
    }};
}

/// Opens a checkpoint file for reading outside a machine. ERROR_CRC for every file that cannot be opened or is no
/// checkpoint, ERROR_INVALID_PARAMETER for a name over 65534 bytes. Release it with rsl_reader_close.
///
/// # Safety
/// `path` is a string; `out` can be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rsl_reader_open(path: *const c_char, out: *mut *mut rsl_reader) -> rsl_win32 {
    stream!([path = text(path), out = out(out)] {
        if path.len() > MAX_PATH {
            RSL_WIN32_INVALID_PARAMETER
        } else {
            match CheckpointReader::open(&OsDisk, Path::new(path)) {
                Ok(file) => {
                    let size = file.len();
                    let source = Source::File(Box::new(file));
                    let reader = Reader { source, path: c_text(path), size, position: 0, buffer: Vec::new() };
                    let handle = Box::into_raw(Box::new(reader)).cast::<rsl_reader>();
                    born(handle);
                    out.set(handle);
                    RSL_WIN32_OK
                }
                Err(error) => {
                    tracing::warn!(path, %error, "the checkpoint cannot be opened");
                    RSL_WIN32_CRC
                }
            }
        }
    })
}

/// Releases a reader that rsl_reader_open made; never one from load_state. NULL is allowed.
///
/// # Safety
/// `reader` is NULL or such a reader that nobody uses any more.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rsl_reader_close(reader: *mut rsl_reader) {
    guard!((), [] {
        if !reader.is_null() {
            // SAFETY: the caller passes a handle.
            let found = unsafe { crate::guard::handle(reader.cast::<Reader<'_>>()) }?;
            if !matches!(found.source, Source::File(_)) {
                return Err(Fail::new(RSL_E_STATE, "the reader of load_state belongs to the library"));
            }
            dead(reader);
            // SAFETY: made by `Box::into_raw` in `rsl_reader_open`, and released once, as the caller promises.
            drop(unsafe { Box::from_raw(reader.cast::<Reader<'_>>()) });
        }
        Ok(())
    });
}

/// Points *data at the next *got <= want bytes of state, valid until the next call on this reader. Less than want comes
/// where a block ends: call again. ERROR_HANDLE_EOF at the end, ERROR_CRC for a damaged block; then *got is 0 and *data
/// untouched. got may be NULL.
///
/// # Safety
/// `reader` is a handle; `data` can be written, `got_or_null` too unless it is NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rsl_reader_data_pointer(
    reader: *mut rsl_reader,
    want: u64,
    data: *mut *const c_void,
    got_or_null: *mut u64,
) -> rsl_win32 {
    stream!([
        got = out_or_null(got_or_null),
        data = out(data),
        reader = handle_mut(reader.cast::<Reader<'_>>()),
    ] {
        let set_got = |count| if let Some(got) = &got { got.set(count) };
        set_got(0);
        if reader.position >= reader.size {
            RSL_WIN32_HANDLE_EOF
        } else if let Err(error) = reader.fill(want) {
            win32(&error)
        } else {
            set_got(reader.buffer.len() as u64);
            data.set(reader.buffer.as_ptr().cast());
            RSL_WIN32_OK
        }
    })
}

/// Copies up to want bytes of state; otherwise as rsl_reader_data_pointer.
///
/// # Safety
/// `reader` is a handle; `into` is valid for `want` bytes; `got_or_null` can be written unless it is NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rsl_reader_read(
    reader: *mut rsl_reader,
    into: *mut c_void,
    want: u64,
    got_or_null: *mut u64,
) -> rsl_win32 {
    stream!([
        got = out_or_null(got_or_null),
        into = buffer(into.cast::<u8>(), usize::try_from(want).unwrap_or(usize::MAX)),
        reader = handle_mut(reader.cast::<Reader<'_>>()),
    ] {
        let set_got = |count| if let Some(got) = &got { got.set(count) };
        set_got(0);
        if reader.position >= reader.size {
            RSL_WIN32_HANDLE_EOF
        } else {
            match reader.read(into) {
                Ok(count) => {
                    set_got(count as u64);
                    RSL_WIN32_OK
                }
                Err(error) => win32(&error),
            }
        }
    })
}

/// Moves on by count bytes and verifies the blocks passed; past the end it stops there with ERROR_HANDLE_EOF.
///
/// # Safety
/// `reader` is a handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rsl_reader_skip(reader: *mut rsl_reader, count: u64) -> rsl_win32 {
    stream!([reader = handle_mut(reader.cast::<Reader<'_>>())] { reader.skip(count) })
}

/// Moves to an offset of the state, 0 to its size; past that it moves to the end with ERROR_HANDLE_EOF.
///
/// # Safety
/// `reader` is a handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rsl_reader_seek(reader: *mut rsl_reader, offset: u64) -> rsl_win32 {
    stream!([reader = handle_mut(reader.cast::<Reader<'_>>())] { reader.seek(offset) })
}

/// Where the next read starts, in bytes of state.
///
/// # Safety
/// `reader` is NULL or a handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rsl_reader_tell(reader: *const rsl_reader) -> u64 {
    guard!(0, [reader = handle(reader.cast::<Reader<'_>>())] { Ok(reader.position) })
}

/// Bytes of state.
///
/// # Safety
/// `reader` is NULL or a handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rsl_reader_size(reader: *const rsl_reader) -> u64 {
    guard!(0, [reader = handle(reader.cast::<Reader<'_>>())] { Ok(reader.size) })
}

/// The path of the file, as long as the reader lives.
///
/// # Safety
/// `reader` is NULL or a handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rsl_reader_path(reader: *const rsl_reader) -> *const c_char {
    guard!(std::ptr::null(), [reader = handle(reader.cast::<Reader<'_>>())] { Ok(reader.path.as_ptr()) })
}

/// Whether two paths mean one file.
fn is_same_file(one: &Path, other: &Path) -> bool {
    let same = || Some(one.canonicalize().ok()? == other.canonicalize().ok()?);
    one == other || same().unwrap_or(false)
}

enum Sink<'a> {
    /// In `try_save_state`: the library's.
    State(&'a mut dyn Write),
    /// A file made like another one.
    File(Box<CheckpointRewrite>),
}

/// What is behind `rsl_writer`.
pub(crate) struct Writer<'a> {
    sink: Sink<'a>,
    closed: bool,
    /// The first error: nothing more is written then [API-41].
    failed: Option<rsl_win32>,
}

impl<'a> Writer<'a> {
    pub(crate) fn borrowed(state: &'a mut dyn Write) -> Writer<'a> {
        Writer { sink: Sink::State(state), closed: false, failed: None }
    }

    /// How writing went.
    pub(crate) fn result(&self) -> Result<(), rsl_win32> {
        self.failed.map_or(Ok(()), Err)
    }

    fn write(&mut self, bytes: &[u8]) -> rsl_win32 {
        if self.closed {
            return RSL_WIN32_INVALID_HANDLE;
        }
        if let Some(error) = self.failed {
            return error;
        }
        let written = match &mut self.sink {
            Sink::State(state) => state.write_all(bytes),
            Sink::File(file) => file.write_all(bytes),
        };
        written.map_or_else(|error| *self.failed.insert(win32(&error)), |()| RSL_WIN32_OK)
    }
}

/// Creates or overwrites a file that gets new state under the header of the checkpoint that `like` has open: one made by
/// rsl_reader_open. The file is no checkpoint before rsl_writer_finish. Release it with rsl_writer_free.
///
/// ERROR_ACCESS_DENIED for a reader from load_state.
///
/// # Safety
/// `like` is a handle; `path` is a string; `out` can be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rsl_writer_create_like(
    like: *mut rsl_reader,
    path: *const c_char,
    out: *mut *mut rsl_writer,
) -> rsl_win32 {
    stream!([like = handle(like.cast::<Reader<'_>>()), path = text(path), out = out(out)] {
        match &like.source {
            Source::State(_) => RSL_WIN32_ACCESS_DENIED,
            Source::File(file) => match CheckpointRewrite::like(Arc::new(OsDisk), file, Path::new(path)) {
                Ok(rewrite) => {
                    let sink = Sink::File(Box::new(rewrite));
                    let writer = Writer { sink, closed: false, failed: None };
                    let handle = Box::into_raw(Box::new(writer)).cast::<rsl_writer>();
                    born(handle);
                    out.set(handle);
                    RSL_WIN32_OK
                }
                Err(error) => win32(&error),
            },
        }
    })
}

/// Appends state, in pieces of any size. After an error the checkpoint fails. ERROR_INVALID_HANDLE after close.
///
/// # Safety
/// `writer` is a handle; `data` is valid for `len` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rsl_writer_write(
    writer: *mut rsl_writer,
    data: *const c_void,
    len: u64,
) -> rsl_win32 {
    stream!([
        writer = handle_mut(writer.cast::<Writer<'_>>()),
        data = bytes(data, usize::try_from(len).unwrap_or(usize::MAX)),
    ] { writer.write(data) })
}

/// Nothing more will be written. May be repeated, and need not be called.
///
/// # Safety
/// `writer` is a handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rsl_writer_close(writer: *mut rsl_writer) -> rsl_win32 {
    stream!([writer = handle_mut(writer.cast::<Writer<'_>>())] {
        writer.closed = true;
        writer.failed.unwrap_or(RSL_WIN32_OK)
    })
}

/// Completes a file of rsl_writer_create_like: from now on it is a checkpoint. path is the one it was created with. After
/// an error the file is gone.
///
/// # Safety
/// `writer` is a handle; `path` is a string.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rsl_writer_finish(writer: *mut rsl_writer, path: *const c_char) -> rsl_win32 {
    stream!([writer = handle_mut(writer.cast::<Writer<'_>>()), path = text(path)] {
        let failed = writer.failed;
        match &mut writer.sink {
            Sink::State(_) => RSL_WIN32_INVALID_HANDLE,
            Sink::File(file) if !is_same_file(file.path(), Path::new(path)) => RSL_WIN32_INVALID_PARAMETER,
            Sink::File(_) if failed.is_some() => failed.unwrap_or(RSL_WIN32_INVALID_HANDLE),
            Sink::File(file) => {
                writer.closed = true;
                file.finish().map_or_else(|error| *writer.failed.insert(win32(&error)), |()| RSL_WIN32_OK)
            }
        }
    })
}

/// Releases a writer of rsl_writer_create_like; never one from try_save_state. Without rsl_writer_finish its file is
/// deleted. NULL is allowed.
///
/// # Safety
/// `writer` is NULL or such a writer that nobody uses any more.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rsl_writer_free(writer: *mut rsl_writer) {
    guard!((), [] {
        if !writer.is_null() {
            // SAFETY: the caller passes a handle.
            let found = unsafe { crate::guard::handle(writer.cast::<Writer<'_>>()) }?;
            if !matches!(found.sink, Sink::File(_)) {
                return Err(Fail::new(RSL_E_STATE, "the writer of try_save_state belongs to the library"));
            }
            dead(writer);
            // SAFETY: made by `Box::into_raw` in `rsl_writer_create_like`, and released once, as the caller promises.
            drop(unsafe { Box::from_raw(writer.cast::<Writer<'_>>()) });
        }
        Ok(())
    });
}
