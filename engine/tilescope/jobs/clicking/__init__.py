"""What a click needs: the picture around it, its scale, its network, its neighbours."""
