# The initrd's place.

# Returns the initrd's address in %eax: page-aligned, as high as RAM and %ebp allow (the last byte it
# may occupy), and never below %edi. The host's address is ignored: the host cannot know what the
# BIOS stores at the top of RAM.
place:
        xorw    %bx, %bx                # Find the end of RAM below 4 GiB.
        xorw    %cx, %cx
        xorw    %dx, %dx
        movw    $0xe801, %ax
        int     $0x15
        jc      too_big
        movw    %cx, %si                # Some BIOSes use %cx and %dx, some %ax and %bx only.
        orw     %dx, %si
        jnz     1f
        movw    %ax, %cx
        movw    %bx, %dx
1:      movzwl  %cx, %eax               # KiB from 1 MiB, up to 16 MiB
        addl    $1024, %eax
        shll    $10, %eax
        movzwl  %dx, %edx               # units of 64 KiB from 16 MiB
        testw   %dx, %dx
        jz      1f
        leal    256(%edx), %eax
        shll    $16, %eax

1:      decl    %eax                    # %eax = the last byte the initrd may occupy
        cmpl    %ebp, %eax
        jbe     2f
        movl    %ebp, %eax
2:      subl    initrd + SIZE, %eax
        jb      too_big
        incl    %eax
        andw    $0xf000, %ax
        cmpl    %edi, %eax
        jb      too_big
        cmpl    $0x200000, initrd + SIZE        # Align to a huge page ...
        jb      1f
        movl    %eax, %ecx              # ... if there is room.
        andl    $~0x1fffff, %ecx
        cmpl    %edi, %ecx
        jb      1f
        movl    %ecx, %eax
1:      ret

too_big:
        movw    $does_not_fit, %si
        jmp     give_up

does_not_fit:   .asciz  "chukka: no room for the initrd above the kernel; give the guest more memory\r\n"
