//! A message that goes to many connections.

use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

/// Compressed for all connections that compress alike when the first of them sends it; once, unless several threads begin
/// at the same time.
#[derive(Debug)]
pub(crate) struct Prepared {
    payload: Bytes,
    forms: Mutex<Forms>,
}

/// How a message is compressed that refers to no other one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Form {
    pub(super) bits: u8,
    pub(super) level: u8,
}

/// What has been made; `None` is sent as it is.
type Forms = Vec<(Form, Option<Bytes>)>;

impl Prepared {
    pub(crate) const fn new(payload: Bytes) -> Self {
        Self { payload, forms: Mutex::new(Vec::new()) }
    }

    /// As the application sees it.
    pub(crate) const fn payload(&self) -> &Bytes {
        &self.payload
    }

    /// As `compress` makes it of the payload, unless it was made before; `None`: it is sent as it is.
    ///
    /// Threads that need it at the same time each make it, and all but the first throw theirs away. Why they don't wait: a
    /// thread that does holds up all its connections for as long as it takes to make it.
    pub(super) fn form(&self, form: Form, compress: impl FnOnce(&[u8]) -> Option<Bytes>) -> Option<Bytes> {
        if let Some(made) = find(&self.lock(), form) {
            return made;
        }
        let made = compress(&self.payload);
        let mut forms = self.lock();
        if let Some(earlier) = find(&forms, form) {
            return earlier;
        }
        forms.push((form, made.clone()));
        made
    }

    /// Held to look something up or to add it, never while something is compressed.
    fn lock(&self) -> MutexGuard<'_, Forms> {
        self.forms.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How often it has been compressed.
    #[cfg(test)]
    pub(super) fn compressions(&self) -> usize {
        self.lock().len()
    }
}

fn find(forms: &Forms, form: Form) -> Option<Option<Bytes>> {
    forms.iter().find(|(known, _)| *known == form).map(|(_, made)| made.clone())
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::thread;
    use std::time::Duration;

    use super::*;

    /// Whoever sent a broadcast while another thread compressed it stood still until that had ended.
    #[test]
    fn a_thread_that_compressed_a_broadcast_blocked_the_others_that_sent_it() {
        // Only a test that fails waits as long.
        const PATIENCE: Duration = Duration::from_secs(60);
        let prepared = Prepared::new(Bytes::from_static(b"payload"));
        let form = Form { bits: 15, level: 5 };
        let ((tell_begun, begun), (tell_done, done)) = (mpsc::channel(), mpsc::channel());
        thread::scope(|scope| {
            let prepared = &prepared;
            let slow = scope.spawn(move || {
                prepared.form(form, |_| {
                    tell_begun.send(()).unwrap();
                    done.recv_timeout(PATIENCE).expect("the other thread is blocked");
                    Some(Bytes::from_static(b"late"))
                })
            });
            begun.recv_timeout(PATIENCE).unwrap();
            let quick = prepared.form(form, |_| Some(Bytes::from_static(b"quick")));
            tell_done.send(()).unwrap();
            assert_eq!(quick.as_deref(), Some(&b"quick"[..]));
            // What was there first is what all send.
            assert_eq!(slow.join().unwrap(), quick);
        });
        assert_eq!(prepared.form(form, |_| None).as_deref(), Some(&b"quick"[..]));
        assert_eq!(prepared.compressions(), 1);
    }
}
