# SMBIOS: the structures go to the top of RAM, after our own type 0 structure, which describes the
# firmware. The entry point goes where operating systems search for it.

        .set    ENTRY_LONGEST, 8        # u16, size of the largest structure
        .set    ENTRY_LENGTH, 22        # u16, size of all structures
        .set    ENTRY_ADDRESS, 24       # u32, their address
        .set    ENTRY_COUNT, 28         # u16
        .set    ENTRY_SIZE, 31
place_smbios:
        movl    $structures_name, %esi
        call    find
        jc      2f
        call    file_size
        addl    $bios_structure_end - bios_structure, %ecx
        movl    $16, %edx
        call    high
        pushl   %edi
        movl    $bios_structure, %esi
        movl    $bios_structure_end - bios_structure, %ecx
        rep movsb
        call    load

        movl    $entry_name, %esi
        call    need
        call    file_size
        cmpl    $ENTRY_SIZE, %ecx       # Version 2's; version 3 has another one.
        jne     1f
        movl    $16, %edx
        call    low
        call    load
        popl    ENTRY_ADDRESS(%edi)
        addw    $bios_structure_end - bios_structure, ENTRY_LENGTH(%edi)
        incw    ENTRY_COUNT(%edi)
        cmpw    $bios_structure_end - bios_structure, ENTRY_LONGEST(%edi)
        jae     3f
        movw    $bios_structure_end - bios_structure, ENTRY_LONGEST(%edi)
3:      addl    $16, %edi               # The second half has its own checksum, ...
        movl    $ENTRY_SIZE - 16, %edx
        call    complement
        movb    %al, 21 - 16(%edi)
        subl    $16, %edi               # ... which the first one covers.
        movl    $ENTRY_SIZE, %edx
        call    complement
        movb    %al, 4(%edi)
        ret
1:      popl    %eax
2:      ret

bios_structure:
        .byte   0, 24                   # type; length without strings
        .word   0                       # handle
        .byte   1, 2                    # strings: vendor, version
        .word   0xf000                  # segment of the reset vector
        .byte   3, 0                    # string: release date; 64 KiB
        .quad   0x08                    # "characteristics are not supported"
        .byte   0, 0x14                 # targeted content distribution; this is a virtual machine
        .byte   0xff, 0xff, 0xff, 0xff  # no version numbers
        .asciz  "chukka"
        .asciz  "built-in"
        .asciz  "01/01/2026"
        .byte   0
bios_structure_end:
