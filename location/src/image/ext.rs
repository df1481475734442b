pub(crate) fn open(
    file: std::rc::Rc<dyn crate::source::RandomAccess>,
) -> Result<Box<dyn crate::source::Source>, crate::source::SourceError> {
    Err(crate::source::SourceError::Kind {
        name: file.name().into(),
        found: "a file",
        expected: "a directory",
    })
}
