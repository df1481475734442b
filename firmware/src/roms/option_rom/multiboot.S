# chukka's option ROM: loads a Multiboot 1 kernel through fw_cfg DMA and enters it in protected mode.
#
# The host has published three items, the same as QEMU for its multiboot.bin: the information
# structure, in the place of an initrd; the kernel with its modules and all strings, as one memory
# image; and the entry point. The information lacks what only the BIOS knows, the memory map, which
# we add.
#
# Sources: hw/i386/multiboot.c in QEMU for the items; Multiboot Specification 0.6.96, 3.2 "Machine
# state" and 3.3 "Boot information format".

        .include "header.S"

        .set    KEY_ENTRY, 0x10
        .set    MAGIC, 0x2badb002

# The information structure, which %fs points to.
        .set    MEM_LOWER, 4            # u32, KiB from 0
        .set    MEM_UPPER, 8            # u32, KiB from 1 MiB to the first hole
        .set    MMAP_LENGTH, 44         # u32, bytes
        .set    MMAP_ADDR, 48           # u32
# A map entry.
        .set    MAP_SIZE, 0             # u32, bytes after this field
        .set    MAP_BASE, 4             # u64
        .set    MAP_LENGTH, 12          # u64
        .set    MAP_TYPE, 20            # u32, 1 is RAM
        .set    MAP_ENTRY, 24
        .set    MAP_MAX, 0x500          # bytes from the map to the information

        movw    $kernel_item, %si
        call    locate
        cmpl    $0, kernel + SIZE
        movw    $no_kernel, %si
        je      give_up
        movl    $entry, %edi
        movl    $4, %ecx
        movb    $KEY_ENTRY, %al
        movw    $kernel_item, %si
        call    read
        movw    $information_item, %si
        call    locate
        call    load

        movl    initrd, %eax
        shrl    $4, %eax
        movw    %ax, %fs
        int     $0x12                   # KiB below the extended BIOS data area
        movzwl  %ax, %eax
        movl    %eax, %fs:MEM_LOWER
        movl    %fs:MMAP_ADDR, %eax
        shrl    $4, %eax
        movw    %ax, %es
        movw    $MAP_BASE, %di
        movw    $MAP_MAX - MAP_ENTRY + MAP_BASE, %bp
        call    memory_map
        subw    $MAP_BASE, %di
        movzwl  %di, %ecx
        movl    %ecx, %fs:MMAP_LENGTH

# Fills in the entries' sizes, and follows RAM from 1 MiB on. The map need not be sorted.
        movl    $0x100000, %edx         # %edx = its end so far
1:      xorw    %di, %di
2:      cmpw    %cx, %di
        je      4f
        movl    $MAP_ENTRY - MAP_BASE, %es:MAP_SIZE(%di)
        cmpl    $1, %es:MAP_TYPE(%di)
        jne     3f
        cmpl    $0, %es:MAP_BASE + 4(%di)
        jne     3f
        movl    %es:MAP_BASE(%di), %eax
        cmpl    %eax, %edx
        jb      3f
        addl    %es:MAP_LENGTH(%di), %eax
        cmpl    %eax, %edx
        jae     3f
        movl    %eax, %edx
        jmp     1b
3:      addw    $MAP_ENTRY, %di
        jmp     2b
4:      subl    $0x100000, %edx
        shrl    $10, %edx
        movl    %edx, %fs:MEM_UPPER

        movw    $kernel_item, %si
        call    load
        movl    $MAGIC, %eax
        movl    initrd, %ebx
        jmp     enter

kernel_item:
        .word   kernel
        .byte   0x07, 0x08, 0x11
        .asciz  "multiboot kernel"
information_item:
        .word   initrd
        .byte   0x0a, 0x0b, 0x12
        .asciz  "multiboot information"

        .include "protected.S"
        .include "fw_cfg.S"
        .include "memory_map.S"
        .include "fail.S"

product:        .asciz  "Multiboot by fw_cfg"
