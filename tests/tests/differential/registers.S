# A firmware image that accesses PCI configuration space and memory as a script says, and writes what it read to the first
# serial port: it runs, unchanged, as -bios in QEMU and in chukka.
#
# Each read is four bytes, little-endian, zero-extended. Then it resets the machine. Interrupts are off.

        .arch   i486

        .set    COM1, 0x3f8
        .set    SCRIPT, 0x1000          # in this image: operations of 12 bytes
        .set    KIND, 0                 # u8: 0 end, 1 read configuration, 2 write it, 3 read memory, 4 write it
        .set    WIDTH, 1                # u8: 1, 2 or 4 bytes
        .set    ADDRESS, 4              # u32: of memory; or as port 0xcf8 takes it, with the byte in the low bits
        .set    VALUE, 8                # u32: to write
        .set    BASE, 0xf0000           # where this image is

        .text
        .globl  _start
        .code16
_start: cli
        cld
        lgdtl   %cs:gdt_register
        movl    $1, %eax
        movl    %eax, %cr0
        ljmpl   $8, $BASE + flat

        .code32
flat:   movw    $16, %ax
        movw    %ax, %ds
        movw    %ax, %es
        movw    %ax, %ss
        movl    $0x7000, %esp
        movw    $COM1 + 2, %dx          # FIFO control
        movb    $1, %al
        outb    %al, %dx
        incw    %dx                     # line control: 8 bits, no parity
        movb    $3, %al
        outb    %al, %dx

        movl    $BASE + SCRIPT, %esi
next:   movl    ADDRESS(%esi), %ebx
        movl    VALUE(%esi), %ecx
        movb    WIDTH(%esi), %ah
        movb    KIND(%esi), %al
        addl    $12, %esi
        cmpb    $1, %al
        je      read_config
        cmpb    $2, %al
        je      write_config
        cmpb    $3, %al
        je      read_memory
        cmpb    $4, %al
        je      write_memory

# The end: a reset, by both ways that machines have; it may take its time.
        movw    $0xcf9, %dx
        movb    $2, %al
        outb    %al, %dx
        movb    $6, %al
        outb    %al, %dx
        movb    $0xfe, %al
        outb    %al, $0x64
1:      hlt
        jmp     1b

# Selects the register at %ebx, and leaves the port of its data in %dx and the width in %ah.
select: movb    %ah, %dh
        movl    %ebx, %eax
        andl    $0xfffffffc, %eax
        pushl   %edx
        movw    $0xcf8, %dx
        outl    %eax, %dx
        popl    %edx
        movb    %dh, %ah
        movw    %bx, %dx
        andw    $3, %dx
        addw    $0xcfc, %dx
        ret

read_config:
        call    select
        movb    %ah, %bl
        xorl    %eax, %eax
        cmpb    $2, %bl
        je      2f
        ja      4f
        inb     %dx, %al
        jmp     tell
2:      inw     %dx, %ax
        jmp     tell
4:      inl     %dx, %eax
        jmp     tell

write_config:
        call    select
        movb    %ah, %bl
        movl    %ecx, %eax
        cmpb    $2, %bl
        je      2f
        ja      4f
        outb    %al, %dx
        jmp     next
2:      outw    %ax, %dx
        jmp     next
4:      outl    %eax, %dx
        jmp     next

read_memory:
        movb    %ah, %cl
        xorl    %eax, %eax
        cmpb    $2, %cl
        je      2f
        ja      4f
        movb    (%ebx), %al
        jmp     tell
2:      movw    (%ebx), %ax
        jmp     tell
4:      movl    (%ebx), %eax
        jmp     tell

write_memory:
        cmpb    $2, %ah
        je      2f
        ja      4f
        movb    %cl, (%ebx)
        jmp     next
2:      movw    %cx, (%ebx)
        jmp     next
4:      movl    %ecx, (%ebx)
        jmp     next

# Sends %eax.
tell:   movl    %eax, %ebx
        movl    $4, %ecx
1:      movw    $COM1 + 5, %dx
2:      inb     %dx, %al
        testb   $0x20, %al              # there is room
        jz      2b
        movw    $COM1, %dx
        movb    %bl, %al
        outb    %al, %dx
        shrl    $8, %ebx
        loop    1b
        jmp     next

        .balign 8
gdt:    .quad   0
        .quad   0x00cf9b000000ffff      # 8: code, 4 GiB
        .quad   0x00cf93000000ffff      # 16: data, 4 GiB
gdt_register:
        .word   . - gdt - 1
        .long   BASE + gdt

        .org    SCRIPT
        .long   0
        .org    0xfff0                  # where the processor starts
        .code16
        ljmp    $0xf000, $_start
        .org    0x10000
