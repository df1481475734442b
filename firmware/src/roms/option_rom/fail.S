# Errors: what went wrong is printed on the screen and on the first serial port; then the BIOS tries
# its next boot device.

# The DMA operation for the item at %cs:%si has failed.
failed: addw    $ITEM_NAME, %si
        pushw   %si
        movw    $cannot_load, %si
        call    print
        popw    %si
        call    print
        movw    $dma_error, %si

give_up:
        call    print
        int     $0x18                   # The BIOS tries the next boot device, if any.
1:      hlt
        jmp     1b

# Prints the string at %cs:%si on the screen and then on COM1 (where SeaBIOS may also show its
# screen).
print:  pushw   %si
1:      lodsb   %cs:(%si), %al
        testb   %al, %al
        jz      2f
        movb    $0x0e, %ah              # int 10h: teletype output, page 0, light grey
        movw    $0x0007, %bx
        int     $0x10
        jmp     1b
2:      popw    %si
3:      lodsb   %cs:(%si), %al
        testb   %al, %al
        jz      5f
        movb    %al, %ah
        movw    $0x3fd, %dx             # line status; bit 5: ready for the next byte
        movw    $4096, %cx              # retry limit, in case the port is never ready
4:      inb     %dx, %al
        testb   $0x20, %al
        loopz   4b
        movw    $0x3f8, %dx
        movb    %ah, %al
        outb    %al, %dx
        jmp     3b
5:      ret

manufacturer:   .asciz  "chukka"
no_dma:         .asciz  "chukka: fw_cfg has no DMA here\r\n"
no_kernel:      .asciz  "chukka: fw_cfg holds no kernel\r\n"
cannot_load:    .asciz  "chukka: cannot load the "
dma_error:      .asciz  ": fw_cfg DMA error\r\n"
