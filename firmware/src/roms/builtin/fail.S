# Error reporting, and all messages.

missing:
        movl    $text_missing, %esi
        jmp     fail
bad_script:
        movl    $script_name, item
        movl    $text_bad_script, %esi
        jmp     fail
no_room:
        movl    $text_no_room, %esi

# Reports the item's name and the message at %esi, and halts.
fail:   pushl   %esi
        movl    $message, %edi
        movl    item, %esi
        call    append
        popl    %esi
        call    append
        pushl   %edi
        movl    $text_prefix, %esi
        call    print
        movl    $message, %esi
        call    print
        movl    $text_suffix, %esi
        call    print
        popl    %ecx
        movl    $error_name, %esi
        call    find                    # Fails if the directory has not been read yet.
        jc      1f
        movl    $message, %edi
        subl    %edi, %ecx
        call    file_key
        orb     $DMA_SELECT | DMA_WRITE, %al
        call    dma
1:      hlt
        jmp     1b

# Copies the string at %esi to %edi, without its NUL. The longest message plus a file name fits into
# the buffer.
append: lodsb
        stosb
        testb   %al, %al
        jnz     append
        decl    %edi
        ret

# Prints the string at %esi on COM1.
print:  lodsb
        testb   %al, %al
        jz      3f
        movb    %al, %ah
        movl    $4096, %ecx             # retry limit, in case the port is never ready
1:      movw    $0x3fd, %dx             # line status; bit 5: ready for the next byte
        inb     %dx, %al
        testb   $0x20, %al
        loopz   1b
        movw    $0x3f8, %dx
        movb    %ah, %al
        outb    %al, %dx
        jmp     print
3:      ret

text_prefix:            .asciz  "chukka builtin: "
text_suffix:            .asciz  "\r\n"
text_no_dma:            .asciz  ": fw_cfg has no DMA here"
text_missing:           .asciz  ": fw_cfg has none"
text_dma_error:         .asciz  ": fw_cfg DMA error"
text_no_room:           .asciz  ": no room; give the guest more memory"
text_no_ram:            .asciz  ": no RAM there"
text_old:               .asciz  ": its boot protocol is older than 2.02"
text_bad_script:        .asciz  ": a command is wrong"
directory_name:         .asciz  "file directory"
reset_name:             .asciz  "reset vector"
kernel_name:            .asciz  "kernel"
initrd_name:            .asciz  "initrd"
command_line_name:      .asciz  "command line"
map_name:               .asciz  "etc/e820"
script_name:            .asciz  "etc/table-loader"
entry_name:             .asciz  "etc/smbios/smbios-anchor"
structures_name:        .asciz  "etc/smbios/smbios-tables"
error_name:             .asciz  "opt/org.chukka/boot-error"
