//! How a device requests the end or reset of the machine. The run loop decides what to do.

use std::fmt;
use std::sync::Arc;

/// A request from a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExitRequest {
    /// The guest powered off the machine.
    PowerOff,
    /// The guest reset the machine.
    Reset(ResetSource),
    /// The guest ended the run through the debug exit device, with this exit status.
    Status(u8),
}

/// The register through which the guest reset the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResetSource {
    /// The ACPI reset register given in the FADT.
    AcpiRegister,
    /// The reset line of the keyboard controller.
    I8042,
    /// The fast reset of system control port A.
    Port92,
    /// The reset control register of the PCI-to-ISA bridge.
    ResetControl,
}

/// Sends requests from a device to the run loop. Cheap to clone; can be used from any thread.
#[derive(Clone)]
pub struct ExitHandle(Arc<dyn Fn(ExitRequest) + Send + Sync>);

impl ExitHandle {
    /// Creates a handle that passes requests to `on_request`. It is called on a vCPU thread with
    /// the device locked: it should record the request, wake the run loop and return.
    pub fn new(on_request: impl Fn(ExitRequest) + Send + Sync + 'static) -> Self {
        Self(Arc::new(on_request))
    }

    /// Sends `request`. Returns immediately; the guest may execute a few more instructions.
    pub fn request(&self, request: ExitRequest) {
        (self.0)(request);
    }
}

impl fmt::Debug for ExitHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ExitHandle")
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::sync::Mutex;

    use super::*;

    /// The requests, in order.
    #[derive(Clone, Default)]
    pub(crate) struct Requests(Arc<Mutex<Vec<ExitRequest>>>);

    impl Requests {
        pub(crate) fn handle(&self) -> ExitHandle {
            let requests = Arc::clone(&self.0);
            ExitHandle::new(move |request| requests.lock().unwrap().push(request))
        }

        pub(crate) fn take(&self) -> Vec<ExitRequest> {
            std::mem::take(&mut self.0.lock().unwrap())
        }
    }

    #[test]
    fn clones_forward_requests() {
        let requests = Requests::default();
        let handle = requests.handle();

        handle.clone().request(ExitRequest::PowerOff);
        handle.request(ExitRequest::Reset(ResetSource::I8042));

        let expected = [ExitRequest::PowerOff, ExitRequest::Reset(ResetSource::I8042)];
        assert_eq!(requests.take(), expected);
    }
}
