//! Waiting for signals: what ends that wait when there is nothing left to wait for.

use signal_hook::iterator::Handle;

/// Ends the wait for signals when it is dropped, also by a panic: for the thread whose end is the other reason to stop.
pub struct CloseOnDrop(pub Handle);

impl Drop for CloseOnDrop {
    fn drop(&mut self) {
        self.0.close();
    }
}
