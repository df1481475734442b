# The switch to 32-bit protected mode.

        .set    CODE, 0x10              # the selectors of a direct boot
        .set    DATA, 0x18

# Enters the kernel at the address in `entry`, with %eax and %ebx as they are: flat segments,
# interrupts and paging disabled.
enter:  cli
        xorl    %ecx, %ecx
        movw    %cs, %cx
        shll    $4, %ecx                # the address of this ROM
        leal    gdt(%ecx), %edx
        movl    %edx, gdt_register + 2
        movw    $gdt_end - gdt - 1, gdt_register
        leal    protected(%ecx), %edx
        movl    %edx, far_pointer
        movw    $CODE, far_pointer + 4
        lgdtl   gdt_register
        movl    %cr0, %edx
        orb     $1, %dl                 # PE
        movl    %edx, %cr0
        ljmpl   *far_pointer

        .code32
protected:
        movl    $DATA, %edx
        movl    %edx, %ds
        movl    %edx, %es
        movl    %edx, %fs
        movl    %edx, %gs
        movl    %edx, %ss
        jmp     *entry
        .code16

        .balign 8
gdt:    .quad   0, 0
        .quad   0x00cf9b000000ffff      # code: 32 bits, 4 GiB, readable, accessed
        .quad   0x00cf93000000ffff      # data: 4 GiB, writable, accessed
gdt_end:
