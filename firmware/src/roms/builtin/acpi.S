# ACPI tables: the linker-loader script.

# A linker-loader command, which %ebp points to: 128 bytes.
        .set    WHAT, 0                 # u32: 1 to 4
        .set    FILE, 4                 # char[56]
        .set    ALIGNMENT, 60           # 1 ALLOCATE: u32
        .set    ZONE, 64                #   u8: 2 for the segment at 0xf0000
        .set    SOURCE, 60              # 2 ADD_POINTER and 4 WRITE_POINTER: char[56]
        .set    AT, 116                 #   u32: offset of the pointer in FILE
        .set    POINTER_SIZE, 120       #   2: u8
        .set    SOURCE_OFFSET, 120      #   4: u32
        .set    WRITTEN_SIZE, 124       #   4: u8
        .set    SUM_AT, 60              # 3 ADD_CHECKSUM: u32, offset of the checksum in FILE
        .set    SUM_START, 64           #   u32: offset of the first byte summed up
        .set    SUM_LENGTH, 68          #   u32
        .set    COMMAND, 128

# Loads the ACPI tables into memory by running the script. A machine without a script has no tables.
place_tables:
        movl    $script_name, %esi
        call    find
        jc      2f
        call    load_scratch
        movl    %edi, %ebp
        jmp     1f
next:   addl    $COMMAND, %ebp
1:      leal    COMMAND(%ebp), %eax
        cmpl    scratch, %eax
        ja      2f
        leal    FILE(%ebp), %esi
        movl    WHAT(%ebp), %eax
        decl    %eax
        jz      allocate
        decl    %eax
        jz      add_pointer
        decl    %eax
        jz      add_checksum
        decl    %eax
        jz      write_pointer
        jmp     next                    # Ignore unknown commands.
2:      ret

allocate:
        call    need
        call    file_size
        movl    ALIGNMENT(%ebp), %edx
        testl   %edx, %edx
        jz      bad_script
        cmpb    $2, ZONE(%ebp)
        je      1f
        call    high
        jmp     2f
1:      call    low
2:      call    load
        movl    %edi, FILE_ADDRESS(%ebx)
        cmpl    $0x20445352, (%edi)     # "RSD "
        jne     next
        cmpl    $0x20525450, 4(%edi)    # "PTR "
        jne     next
        movl    %edi, ACPI_RSDP         # The RSDP leads to all other tables.
        jmp     next

add_pointer:
        leal    SOURCE(%ebp), %esi
        call    placed
        pushl   %edi
        leal    FILE(%ebp), %esi
        call    placed
        movl    AT(%ebp), %eax
        movzbl  POINTER_SIZE(%ebp), %edx
        call    inside
        popl    %eax
        cmpl    $4, %edx
        jb      bad_script              # None of our addresses fits.
        addl    %eax, (%edi)
        setc    %al
        cmpl    $8, %edx
        jne     next
        movzbl  %al, %eax
        addl    %eax, 4(%edi)
        jmp     next

add_checksum:
        call    placed
        pushl   %edi
        movl    SUM_START(%ebp), %eax
        movl    SUM_LENGTH(%ebp), %edx
        call    inside
        call    complement
        popl    %edi
        pushl   %eax
        movl    SUM_AT(%ebp), %eax
        movl    $1, %edx
        call    inside
        popl    %eax
        addb    %al, (%edi)
        jmp     next

write_pointer:
        leal    SOURCE(%ebp), %esi
        call    placed
        addl    SOURCE_OFFSET(%ebp), %edi
        movl    %edi, value
        movl    $0, value + 4
        leal    FILE(%ebp), %esi
        call    need
        movl    AT(%ebp), %ecx
        call    file_key
        orb     $DMA_SELECT | DMA_SKIP, %al
        call    transfer
        movzbl  WRITTEN_SIZE(%ebp), %ecx
        movl    $value, %edi
        movl    $DMA_WRITE, %eax
        call    transfer
        jmp     next

# Returns the address of the file named at %esi in %edi and its size in %ecx.
placed: call    need
        movl    FILE_ADDRESS(%ebx), %edi
        cmpl    $0x10000, %edi          # Is it a key, not an address?
        jb      bad_script
        jmp     file_size

# Advances %edi by %eax, if %edx bytes from there are within the %ecx available.
inside: addl    %eax, %edi
        addl    %edx, %eax
        jc      bad_script
        cmpl    %ecx, %eax
        ja      bad_script
        ret

# Returns in %al the value that makes the sum of %edx bytes at %edi 0. Preserves %edi.
complement:
        xorl    %eax, %eax
        jmp     2f
1:      subb    (%edi,%edx), %al
2:      decl    %edx
        jns     1b
        ret
