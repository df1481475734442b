pub(crate) struct Partition {
    pub number: u32,
    pub at: u64,
    pub len: u64,
    pub active: bool,
    pub kind: String,
}
pub(crate) fn list(
    file: &std::rc::Rc<dyn crate::source::RandomAccess>,
) -> Result<Vec<Partition>, crate::source::SourceError> {
    Err(crate::source::SourceError::Kind {
        name: file.name().into(),
        found: "a file",
        expected: "a directory",
    })
}
