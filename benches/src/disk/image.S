# A guest that reads or writes a virtio disk: 64 KiB of firmware, which run unchanged as -bios in chukka and in QEMU.
#
# It keeps a number of requests in flight, as a driver of Linux does with VIRTIO_F_EVENT_IDX: all answers that are there are taken
# together, each slot gets its next request, and the device is notified if it asks for that. Where there are no answers it waits, by
# interrupt and HLT, or by polling. Requests go through the disk in order, and begin again at its end. Every sector has its own number in
# its first 4 bytes: the first and the last one of each request are checked when reading, and written when writing. What is asked for is
# in the first bytes of the image (`asked`, below), where src/disk.rs puts it.
#
# It prints "begin" and "end" on the debug console, and before the latter what happened in numbers. It ends by isa-debug-exit at port
# 0xf4, with one of the values below.
#
# Machine: what every PC has, isa-debugcon at 0xe9, isa-debug-exit at 0xf4, 64 MiB of memory; a virtio disk by registers at 0xfeb00000
# with interrupts from I/O APIC pin 16 on, or by PCI in slot 4 of bus 0, laid out as QEMU's. When polling, all runs in 64-bit user mode:
# there are KVMs (PVM) that run user mode on the processor, and everything else instruction by instruction in software.
#
# Sources: virtio 1.2, 2.7 (rings), 4.1 and 4.2 (transports), 5.2 (disk); ways into 64-bit mode and out of ring 0 - Intel's manual,
# volume 3, 9.8.5, and volume 2, SYSEXIT; AMD's processors have no SYSEXIT in 64-bit mode, Intel's under PVM no IRET.

        .arch   generic64

# Ports.
        .set    DEBUGCON, 0xe9
        .set    DEBUG_EXIT, 0xf4
        .set    PCI_ADDRESS, 0xcf8
        .set    PCI_DATA, 0xcfc
        .set    PIC_MASK, 0x21
        .set    PIC2_MASK, 0xa1

# How it ends. src/disk.rs has the same list.
        .set    DONE, 0x10
        .set    NO_DISK, 0x11           # there is no virtio disk
        .set    NO_FEATURES, 0x12       # it does not take the features
        .set    FAILED, 0x13            # a request ended with an error
        .set    WRONG_DATA, 0x14        # a sector has another number
        .set    EXCEPTION, 0x15         # the processor took an exception

        .set    IMAGE, 0xf0000          # where the firmware is seen below 1 MiB
        .set    IMAGE_SIZE, 0x10000
        .set    PAGE, 0x1000

# PCI: slot 4, and where its BARs go.
        .set    FUNCTION, 0x80000000 | 4 << 11
        .set    MSIX_TABLE, 0xe0000000
        .set    COMMON, 0xe0010000
        .set    NOTIFY, COMMON + 0x3000
        .set    MSIX_CAPABILITY, 0x98
# Registers of virtio-mmio.
        .set    MMIO, 0xfeb00000
        .set    MMIO_SIZE, 0x200
        .set    MMIO_SLOTS, 8
        .set    FIRST_PIN, 16

        .set    IOAPIC, 0xfec00000
        .set    APIC, 0xfee00000
        .set    VECTOR, 0x40

        .set    FEATURES, 1 << 29 | 1 << 9      # EVENT_IDX, and FLUSH: without it each write would be a flush

# Rings, one of 128 descriptors: three for each request in flight, a header of 16 bytes, a status byte, and a buffer.
        .set    RING, 128
        .set    DESCRIPTORS, 0x300000
        .set    AVAILABLE, 0x301000
        .set    USED_EVENT, AVAILABLE + 4 + 2 * RING
        .set    USED, 0x302000
        .set    AVAIL_EVENT, USED + 4 + 8 * RING
        .set    HEADERS, 0x304000
        .set    STATUS, 0x305000
        .set    BUFFERS, 0x1000000
        .set    BUFFER_SHIFT, 17

# Low RAM.
        .struct 0x1000
notify_at:      .skip 8                 # where a notification is written
acknowledge_at: .skip 8                 # virtio-mmio's registers, 0 for PCI
notifications:  .skip 4
interrupts:     .skip 4
        .struct 0x7000
stack:
        .struct 0x8000
idt:            .skip PAGE
        .struct 0x10000                 # page tables for 4 GiB
pml4:           .skip PAGE
pdpt:           .skip PAGE
directories:    .skip 4 * PAGE

        .text
image:
# What is asked for.
asked:
by_pci: .long   0                       # 1: by PCI, 0: by registers in memory
depth:  .long   1                       # requests in flight, at most 32
count:  .long   0                       # requests in all
sectors:.long   8                       # of a request, at most 256
write:  .long   0                       # 1: write, 0: read
polls:  .long   0                       # 1: poll, 0: take interrupts
disk:   .long   0                       # sectors of the disk that are used, a multiple of a request's

# ---- from the reset vector to 64-bit mode ----------------------------------------------------------------------------
        .code16
start:  cli
        cld
        lgdtl   %cs:gdt_register - image
        movl    $0x11, %eax             # CR0: protection on; caches, which a reset switches off, on
        movl    %eax, %cr0
        ljmpl   $CODE32, $protected

# "Accessed" is set, as a ROM cannot be written to. SYSEXIT takes the selectors 32 and 40 above the one in its MSR.
        .balign 8
gdt:    .quad   0
        .set    CODE32, . - gdt
        .quad   0x00cf9b000000ffff
        .set    DATA, . - gdt
        .quad   0x00cf93000000ffff
        .set    CODE64, . - gdt
        .quad   0x00af9b000000ffff
        .quad   0
        .set    USER_CODE, . - gdt + 3
        .quad   0x00affb000000ffff
        .set    USER_DATA, . - gdt + 3
        .quad   0x00cff3000000ffff
gdt_register:
        .word   . - gdt - 1
        .long   gdt
        .balign 8
idt_register:
        .word   PAGE - 1
        .quad   idt

        .code32
protected:
        movl    $DATA, %eax
        movl    %eax, %ds
        movl    %eax, %es
        movl    %eax, %ss
        movl    $stack, %esp
        movl    $pml4, %edi
        movl    $6 * PAGE / 4, %ecx
        xorl    %eax, %eax
        rep stosl
        movl    $pdpt + 7, pml4         # present, writable, user
        movl    $directories + 7, pdpt
        movl    $directories + PAGE + 7, pdpt + 8
        movl    $directories + 2 * PAGE + 7, pdpt + 16
        movl    $directories + 3 * PAGE + 7, pdpt + 24
        movl    $directories, %edi
        movl    $0x87, %eax             # the same, a page of 2 MiB
1:      movl    %eax, (%edi)
        addl    $8, %edi
        addl    $0x200000, %eax
        jnc     1b
        movl    $0x20, %eax             # CR4: PAE
        movl    %eax, %cr4
        movl    $pml4, %eax
        movl    %eax, %cr3
        movl    $0xc0000080, %ecx       # EFER: LME
        rdmsr
        orl     $0x100, %eax
        wrmsr
        movl    $0x80000011, %eax       # CR0: paging on
        movl    %eax, %cr0
        ljmpl   $CODE64, $long

        .code64
long:   cmpl    $0, polls
        je      1f
        pushq   $0x3002                 # I/O privilege level 3, interrupts off
        popfq
        xorl    %eax, %eax
        cpuid
        cmpl    $0x756e6547, %ebx       # "Genu"
        jne     2f
        movl    $0x174, %ecx            # SYSENTER_CS
        movl    $USER_CODE - 3 - 32, %eax
        xorl    %edx, %edx
        wrmsr
        movl    $stack, %ecx
        movl    $run, %edx
        sysexitq
2:      pushq   $USER_DATA
        pushq   $stack
        pushq   $0x3002
        pushq   $USER_CODE
        pushq   $run
        iretq

# Interrupts: a descriptor for each vector, whose handler for all but ours ends the run.
1:      movl    $idt, %edi
        xorl    %ecx, %ecx
2:      movl    $exception, %eax
        cmpl    $VECTOR, %ecx
        jne     3f
        movl    $interrupt, %eax
3:      movw    %ax, (%rdi)
        movw    $CODE64, 2(%rdi)
        movw    $0x8e00, 4(%rdi)        # present, interrupt gate
        shrl    $16, %eax
        movw    %ax, 6(%rdi)
        movq    $0, 8(%rdi)
        addl    $16, %edi
        incl    %ecx
        cmpl    $256, %ecx
        jb      2b
        lidtq   idt_register
        movb    $0xff, %al
        outb    %al, $PIC_MASK
        outb    %al, $PIC2_MASK
        movl    $APIC + 0xf0, %eax      # spurious vector 255, APIC on
        movl    $0x1ff, (%rax)

# ---- the device ------------------------------------------------------------------------------------------------------
run:    movl    $0, notifications
        movl    $0, interrupts
        movl    $DESCRIPTORS, %edi      # rings, headers and status
        movl    $0x6000 / 4, %ecx
        xorl    %eax, %eax
        rep stosl
        cmpl    $0, by_pci
        jne     pci

# By registers in memory: the slot with a disk.
        movl    $MMIO, %esi
        xorl    %ecx, %ecx
1:      cmpl    $0x74726976, (%rsi)     # "virt"
        jne     2f
        cmpl    $2, 4(%rsi)             # version
        jne     2f
        cmpl    $2, 8(%rsi)             # a disk
        je      3f
2:      addl    $MMIO_SIZE, %esi
        incl    %ecx
        cmpl    $MMIO_SLOTS, %ecx
        jb      1b
        movl    $NO_DISK, %ebx
        jmp     end
3:      movq    %rsi, acknowledge_at
        leaq    0x50(%rsi), %rax
        movq    %rax, notify_at
        movl    $IOAPIC, %eax           # the slot's pin: edge-triggered, to this processor
        leal    0x10 + 2 * FIRST_PIN(, %rcx, 2), %ecx
        movl    %ecx, (%rax)
        movl    $VECTOR, 0x10(%rax)
        incl    %ecx
        movl    %ecx, (%rax)
        movl    $0, 0x10(%rax)
        movl    $0, 0x70(%rsi)          # status: reset, ACKNOWLEDGE, DRIVER
        movl    $1, 0x70(%rsi)
        movl    $3, 0x70(%rsi)
        movl    $0, 0x24(%rsi)          # features of the driver
        movl    $FEATURES, 0x20(%rsi)
        movl    $1, 0x24(%rsi)
        movl    $1, 0x20(%rsi)          # VERSION_1
        movl    $0xb, 0x70(%rsi)        # FEATURES_OK
        testl   $8, 0x70(%rsi)
        jz      no_features
        movl    $0, 0x30(%rsi)          # the queue
        movl    $RING, 0x38(%rsi)
        movl    $DESCRIPTORS, 0x80(%rsi)
        movl    $0, 0x84(%rsi)
        movl    $AVAILABLE, 0x90(%rsi)
        movl    $0, 0x94(%rsi)
        movl    $USED, 0xa0(%rsi)
        movl    $0, 0xa4(%rsi)
        movl    $1, 0x44(%rsi)
        movl    $0xf, 0x70(%rsi)        # DRIVER_OK
        jmp     requests

no_features:
        movl    $NO_FEATURES, %ebx
        jmp     end

# Writes %eax to configuration space at %ecx.
config: pushq   %rax
        leal    FUNCTION(%rcx), %eax
        movw    $PCI_ADDRESS, %dx
        outl    %eax, %dx
        popq    %rax
        movw    $PCI_DATA, %dx
        outl    %eax, %dx
        ret

# By PCI.
pci:    movl    $FUNCTION, %eax
        movw    $PCI_ADDRESS, %dx
        outl    %eax, %dx
        movw    $PCI_DATA, %dx
        inl     %dx, %eax
        movl    $NO_DISK, %ebx
        cmpl    $0x10421af4, %eax
        jne     end
        movl    $0x14, %ecx             # BAR 1, BAR 4 and its upper half
        movl    $MSIX_TABLE, %eax
        call    config
        movl    $0x20, %ecx
        movl    $COMMON, %eax
        call    config
        movl    $0x24, %ecx
        xorl    %eax, %eax
        call    config
        movl    $4, %ecx                # command: memory, master
        movl    $6, %eax
        call    config
        movl    $MSIX_CAPABILITY, %ecx  # MSI-X on
        movl    $0x80000000, %eax
        call    config
        movl    $MSIX_TABLE, %eax
        movl    $APIC, (%rax)
        movl    $0, 4(%rax)
        movl    $VECTOR, 8(%rax)
        movl    $0, 12(%rax)            # not masked
        movq    $0, acknowledge_at
        movl    $NOTIFY, %eax
        movq    %rax, notify_at
        movl    $COMMON, %esi
        movb    $0, 0x14(%rsi)          # status: reset, ACKNOWLEDGE, DRIVER
1:      cmpb    $0, 0x14(%rsi)
        jne     1b
        movb    $1, 0x14(%rsi)
        movb    $3, 0x14(%rsi)
        movl    $0, 8(%rsi)             # features of the driver
        movl    $FEATURES, 12(%rsi)
        movl    $1, 8(%rsi)
        movl    $1, 12(%rsi)            # VERSION_1
        movb    $0xb, 0x14(%rsi)        # FEATURES_OK
        testb   $8, 0x14(%rsi)
        jz      no_features
        movw    $0, 0x16(%rsi)          # the queue
        movw    $RING, 0x18(%rsi)
        movw    $0, 0x1a(%rsi)          # its vector
        movl    $DESCRIPTORS, 0x20(%rsi)
        movl    $0, 0x24(%rsi)
        movl    $AVAILABLE, 0x28(%rsi)
        movl    $0, 0x2c(%rsi)
        movl    $USED, 0x30(%rsi)
        movl    $0, 0x34(%rsi)
        movw    $1, 0x1c(%rsi)
        movb    $0xf, 0x14(%rsi)        # DRIVER_OK

# ---- the requests ----------------------------------------------------------------------------------------------------
# %r12d: how many are still to be made, %r13d: to be answered; %r14w: our available index, %r15w: the used index that is done; %ebp: the
# next sector.
requests:
        movl    $begin_text, %esi
        call    print
        movl    count, %r12d
        movl    %r12d, %r13d
        xorl    %r14d, %r14d
        xorl    %r15d, %r15d
        xorl    %ebp, %ebp
        xorl    %edi, %edi
1:      testl   %r12d, %r12d
        jz      2f
        call    prepare
        call    make
        incl    %edi
        cmpl    depth, %edi
        jb      1b
2:      call    publish
        cmpl    $0, polls
        jne     wait
        sti

wait:   cmpw    %r15w, USED + 2
        je      nothing
answered:
        movzwl  %r15w, %eax
        andl    $RING - 1, %eax
        movl    USED + 4(, %rax, 8), %eax
        xorl    %edx, %edx
        movl    $3, %ecx
        divl    %ecx
        movl    %eax, %edi              # the slot
        incl    %r15d
        decl    %r13d
        movl    $FAILED, %ebx
        cmpb    $0, STATUS(%rdi)
        jne     end
        call    check
        testl   %r12d, %r12d
        jz      1f
        call    make
1:      cmpw    %r15w, USED + 2
        jne     answered
        call    publish
        testl   %r13d, %r13d
        jnz     wait
        jmp     done

# No answer: polling asks for an interrupt that never comes. Otherwise it is asked for the next one.
nothing:
        cmpl    $0, polls
        je      1f
        leal    0x4000(%r15), %eax
        movw    %ax, USED_EVENT
        pause
        jmp     wait
1:      movw    %r15w, USED_EVENT
        mfence
        cli
        cmpw    %r15w, USED + 2
        jne     2f
        sti
        hlt
        jmp     wait
2:      sti
        jmp     wait

# Descriptors of slot %edi: header, data, status.
prepare:
        leal    (%rdi, %rdi, 2), %ecx   # the first one's number
        movl    %ecx, %eax
        shll    $4, %eax
        movl    %edi, %edx
        shll    $4, %edx
        addl    $HEADERS, %edx
        movq    %rdx, DESCRIPTORS(%rax)
        movl    $16, DESCRIPTORS + 8(%rax)
        movw    $1, DESCRIPTORS + 12(%rax)      # NEXT
        incl    %ecx
        movw    %cx, DESCRIPTORS + 14(%rax)
        movl    %edi, %edx
        shll    $BUFFER_SHIFT, %edx
        addl    $BUFFERS, %edx
        movq    %rdx, DESCRIPTORS + 16(%rax)
        movl    sectors, %edx
        shll    $9, %edx
        movl    %edx, DESCRIPTORS + 24(%rax)
        movw    $3, DESCRIPTORS + 28(%rax)      # NEXT and WRITE: the device writes
        cmpl    $0, write
        je      1f
        movw    $1, DESCRIPTORS + 28(%rax)
1:      incl    %ecx
        movw    %cx, DESCRIPTORS + 30(%rax)
        leal    STATUS(%rdi), %edx
        movq    %rdx, DESCRIPTORS + 32(%rax)
        movl    $1, DESCRIPTORS + 40(%rax)
        movw    $2, DESCRIPTORS + 44(%rax)      # WRITE
        ret

# %rax, %rcx: the first bytes of the first and the last sector of slot %edi's buffer; %edx: the sector it is for.
edges:  movl    %edi, %eax
        shll    $BUFFER_SHIFT, %eax
        addl    $BUFFERS, %eax
        movl    sectors, %ecx
        shll    $9, %ecx
        leal    -512(%rax, %rcx), %ecx
        movl    %edi, %edx
        shll    $4, %edx
        movl    HEADERS + 8(%rdx), %edx
        ret

# A read has brought the right sectors. They are spoilt, so that data which is not read again shows.
check:  cmpl    $0, write
        jne     1f
        call    edges
        movl    $WRONG_DATA, %ebx
        cmpl    %edx, (%rax)
        jne     end
        notl    (%rax)
        cmpl    %eax, %ecx
        je      1f
        addl    sectors, %edx
        decl    %edx
        cmpl    %edx, (%rcx)
        jne     end
        notl    (%rcx)
1:      ret

# Makes slot %edi available for the next sectors.
make:   movl    %edi, %edx
        shll    $4, %edx
        movl    write, %eax
        movl    %eax, HEADERS(%rdx)
        movl    %ebp, HEADERS + 8(%rdx)
        movb    $0xff, STATUS(%rdi)
        testl   %eax, %eax
        jz      1f
        call    edges                   # both have their complement, which tells them from what was there
        notl    %edx
        movl    %edx, (%rax)
        subl    sectors, %edx
        incl    %edx
        movl    %edx, (%rcx)
1:      addl    sectors, %ebp
        cmpl    disk, %ebp
        jb      2f
        xorl    %ebp, %ebp
2:      movzwl  %r14w, %ecx
        andl    $RING - 1, %ecx
        leal    (%rdi, %rdi, 2), %eax
        movw    %ax, AVAILABLE + 4(, %rcx, 2)
        incl    %r14d
        decl    %r12d
        ret

# Shows the device what was made available, and notifies it if it wants that (virtio 1.2, 2.7.10).
publish:
        movzwl  AVAILABLE + 2, %eax     # before
        cmpw    %ax, %r14w
        je      1f
        movw    %r14w, AVAILABLE + 2
        mfence
        movzwl  AVAIL_EVENT, %ecx
        movl    %r14d, %edx
        subl    %ecx, %edx
        decl    %edx
        movl    %r14d, %ecx
        subl    %eax, %ecx
        cmpw    %cx, %dx
        jae     1f
        incl    notifications
        movq    notify_at, %rax
        cmpl    $0, by_pci
        jne     2f
        movl    $0, (%rax)
1:      ret
2:      movw    $0, (%rax)
        ret

# Our interrupt: acknowledged where the transport asks for it.
interrupt:
        pushq   %rax
        pushq   %rcx
        incl    interrupts
        movq    acknowledge_at, %rax
        testq   %rax, %rax
        jz      1f
        movl    0x60(%rax), %ecx
        movl    %ecx, 0x64(%rax)
1:      movl    $APIC + 0xb0, %eax      # end of interrupt
        movl    $0, (%rax)
        popq    %rcx
        popq    %rax
        iretq

exception:
        movl    $EXCEPTION, %ebx
        jmp     end

# ---- the end ---------------------------------------------------------------------------------------------------------
done:   movl    $end_text, %esi
        call    print
        movl    notifications, %eax
        call    number
        movl    interrupts, %eax
        call    number
        movl    $line_text, %esi
        call    print
        movl    $DONE, %ebx

# Ends the run with the value %ebx.
end:    movl    %ebx, %eax
        movw    $DEBUG_EXIT, %dx
        outl    %eax, %dx
1:      pause
        jmp     1b

# Prints the text at %rsi, up to a zero byte.
print:  movw    $DEBUGCON, %dx
1:      lodsb
        testb   %al, %al
        jz      2f
        outb    %al, %dx
        jmp     1b
2:      ret

# Prints a space and %eax in hexadecimal.
number: movl    %eax, %ecx
        movl    $8, %edi
        movw    $DEBUGCON, %dx
        movb    $' ', %al
        outb    %al, %dx
1:      roll    $4, %ecx
        movl    %ecx, %eax
        andl    $15, %eax
        movb    digits(%rax), %al
        outb    %al, %dx
        decl    %edi
        jnz     1b
        ret

begin_text:
        .asciz  "begin\n"
end_text:
        .asciz  "end"
line_text:
        .asciz  "\n"
digits: .ascii  "0123456789abcdef"

        .org    IMAGE_SIZE - 16         # where the processor starts
        .code16
        ljmp    $IMAGE >> 4, $start - image
        .org    IMAGE_SIZE
